# syntax=docker/dockerfile:1
# The image has the program and nothing else: no shell, no libraries, no certificates. The certificates of public
# authorities are built into the program. For a private authority, mount its file and set SSL_CERT_FILE.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) -t roster .
#   docker run -v roster:/data -p 127.0.0.1:8080:8080 -e ROSTER_LISTEN=:8080 … roster
#
# docs/operations.md says which settings a container needs.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# The files of the playground come from npm, before the build, by "make build". Without them, the page takes them from a CDN.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
	-ldflags "-s -w -X main.version=$VERSION" -o /image/roster . \
	&& mkdir -p /image/data /image/tmp && chmod 1777 /image/tmp && chown 65532:65532 /image/data

FROM scratch
COPY --from=build /image /
USER 65532:65532
WORKDIR /data
VOLUME /data
ENV DATABASE_URL=sqlite:/data/roster.db
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/roster", "ready"]
ENTRYPOINT ["/roster"]
CMD ["serve"]
