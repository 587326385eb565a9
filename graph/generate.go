package graph

//go:generate go run -mod=mod github.com/99designs/gqlgen@v0.17.98 generate --config ../gqlgen.yml
