package documents

import (
	"maps"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"roster/internal/codes"
)

// longWord is the length of a name, in bytes, from which errors suggest no names of the schema. Comparing a long name
// with all names of the schema takes too long.
const longWord = 100

// introspection is the name of the rule that forbids to query the schema.
const introspection = "Introspection"

// ruleSets returns the rules of the GraphQL specification in a fixed order: without suggestions of names, and with
// them.
func ruleSets(allowIntrospection bool) (plain, suggesting []validator.Rule) {
	all := rules.NewDefaultRules()
	silent := rules.NewDefaultRules()
	for name, rule := range map[string]validator.Rule{
		rules.FieldsOnCorrectTypeRule.Name: rules.FieldsOnCorrectTypeRuleWithoutSuggestions,
		rules.KnownArgumentNamesRule.Name:  rules.KnownArgumentNamesRuleWithoutSuggestions,
		rules.KnownTypeNamesRule.Name:      rules.KnownTypeNamesRuleWithoutSuggestions,
		rules.ScalarLeafsRule.Name:         rules.ScalarLeafsRuleWithoutSuggestions,
	} {
		silent.ReplaceRule(name, rule.RuleFunc)
	}
	all.ReplaceRule(rules.ValuesOfCorrectTypeRule.Name, valuesOfCorrectType(true))
	silent.ReplaceRule(rules.ValuesOfCorrectTypeRule.Name, valuesOfCorrectType(false))
	for _, set := range []*rules.Rules{all, silent} {
		set.ReplaceRule(rules.SingleFieldSubscriptionsRule.Name, singleRootField)
		set.ReplaceRule(rules.VariablesInAllowedPositionRule.Name, variablesInAllowedPosition)
		if !allowIntrospection {
			set.AddRule(introspection, noIntrospection)
		}
	}
	return sorted(silent), sorted(all)
}

func sorted(set *rules.Rules) []validator.Rule {
	inner := set.GetInner()
	list := make([]validator.Rule, 0, len(inner))
	for _, name := range slices.Sorted(maps.Keys(inner)) {
		list = append(list, validator.Rule{Name: name, RuleFunc: inner[name]})
	}
	return list
}

// singleRootField is the rule that a subscription has exactly one root field, for all values of its variables. The rule
// of gqlparser counts one field with two aliases as one, and ignores @skip and @include.
func singleRootField(observers *validator.Events, addError validator.AddErrFunc) {
	observers.OnOperation(func(_ *validator.Walker, operation *ast.OperationDefinition) {
		if operation.Operation != ast.Subscription {
			return
		}
		alias := ""
		spread := map[string]bool{}
		var look func(ast.SelectionSet)
		directed := func(directives ast.DirectiveList) {
			for _, d := range directives {
				if d.Name == "skip" || d.Name == "include" {
					addError(validator.Message("A subscription must not skip or include its field."), at(d.Position))
				}
			}
		}
		look = func(set ast.SelectionSet) {
			for _, selection := range set {
				switch s := selection.(type) {
				case *ast.Field:
					directed(s.Directives)
					switch {
					case len(s.Name) > 1 && s.Name[:2] == "__":
						addError(validator.Message("A subscription must have a field that is not of introspection."), at(s.Position))
					case alias == "":
						alias = s.Alias
					case s.Alias != alias:
						addError(validator.Message("A subscription must have one field only."), at(s.Position))
					}
				case *ast.InlineFragment:
					directed(s.Directives)
					look(s.SelectionSet)
				case *ast.FragmentSpread:
					directed(s.Directives)
					if s.Definition != nil && !spread[s.Name] {
						spread[s.Name] = true
						look(s.Definition.SelectionSet)
					}
				}
			}
		}
		look(operation.SelectionSet)
	})
}

// noIntrospection is the rule that forbids __schema and __type. __typename is allowed: the document already says the
// type.
func noIntrospection(observers *validator.Events, addError validator.AddErrFunc) {
	observers.OnField(func(_ *validator.Walker, field *ast.Field) {
		if field.Name == "__schema" || field.Name == "__type" {
			addError(validator.Message("Introspection is switched off."), at(field.Position))
		}
	})
}

// at sets the location of an error.
func at(position *ast.Position) validator.ErrorOption {
	return func(err *gqlerror.Error) {
		err.Locations = []gqlerror.Location{{Line: position.Line, Column: position.Column}}
	}
}

// enough is the value of the panic that stops the validation.
type enough struct{}

// validate returns the uses of variables of a document, or its first errors, at most [MaxErrors]. longest is the length
// of the longest token, in bytes.
func (l *Library) validate(doc *ast.QueryDocument, longest int) (variables *uses, errs gqlerror.List) {
	set := l.suggest
	if !l.Introspection || longest > longWord {
		set = l.rules
	}
	defer func() {
		if cause := recover(); cause != nil && cause != (enough{}) {
			panic(cause)
		}
	}()
	observers := &validator.Events{}
	for _, rule := range set {
		rule.RuleFunc(observers, func(options ...validator.ErrorOption) {
			err := &gqlerror.Error{Rule: rule.Name}
			for _, option := range options {
				option(err)
			}
			err.Extensions = map[string]any{"code": codes.ValidationFailed}
			if !l.Introspection {
				err.Message = discreet(err)
			}
			if slices.ContainsFunc(errs, func(e *gqlerror.Error) bool { // the fragment is used twice
				return e.Message == Tidy(err).Message && slices.Equal(e.Locations, err.Locations)
			}) {
				return
			}
			errs = append(errs, Tidy(err))
			if len(errs) == MaxErrors {
				panic(enough{})
			}
		})
	}
	variables = &uses{}
	variables.observe(observers)
	validator.Walk(l.Schema, doc, observers)
	variables.forget()
	return variables, errs
}

// discreet returns a message that names nothing of the schema, because the client must not learn it. The location of
// the error shows what the client wrote.
func discreet(err *gqlerror.Error) string {
	const fragment, variable = "There can be no such fragment here.", "The variable does not fit its place."
	message, aboutSchema := map[string]string{
		"FieldsOnCorrectType":          "There is no such field.",
		"KnownArgumentNames":           "There is no such argument.",
		"KnownDirectives":              "There is no such directive here.",
		"KnownTypeNames":               "There is no such type.",
		"OverlappingFieldsCanBeMerged": "Different fields answer under one name here: give them different aliases.",
		"PossibleFragmentSpreads":      fragment,
		"FragmentsOnCompositeTypes":    fragment,
		"ProvidedRequiredArguments":    "A required argument is missing.",
		"ScalarLeafs":                  "The field must have a selection, or must have none.",
		"ValuesOfCorrectType":          "The value does not fit its place.",
		"VariablesAreInputTypes":       variable,
		"VariablesInAllowedPosition":   variable,
	}[err.Rule]
	switch {
	case aboutSchema:
		return message
	case slices.Contains([]string{
		introspection, "KnownFragmentNames", "LoneAnonymousOperation", "NoFragmentCycles", "NoUndefinedVariables",
		"NoUnusedFragments", "NoUnusedVariables", "UniqueArgumentNames", "UniqueDirectivesPerLocation", "UniqueFragmentNames",
		"SingleFieldSubscriptions", "UniqueInputFieldNames", "UniqueOperationNames", "UniqueVariableNames",
	}, err.Rule): // rules about the document alone
		return err.Message
	}
	return "The document does not fit the schema."
}
