package documents

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"

	"roster/internal/codes"
)

// uses has the variables of a document and the places that use them.
type uses struct {
	nonNull map[*ast.OperationDefinition][]nonNullUse
	values  []*ast.Value // each use of a variable in an argument, an object or a list
}

// nonNullUse is the first place where an operation uses a nullable variable although the place takes no null. A default
// of the variable or of the place makes this document valid. Then a request may leave the variable out, but must not
// set it to null: https://spec.graphql.org/September2025/#IsVariableUsageAllowed(). The executor does not check this.
type nonNullUse struct {
	variable *ast.VariableDefinition
	at       *ast.Position
}

// observe collects the uses while a document is validated.
func (u *uses) observe(observers *validator.Events) {
	u.nonNull = map[*ast.OperationDefinition][]nonNullUse{}
	seen := map[*ast.VariableDefinition]bool{}
	observers.OnValue(func(walker *validator.Walker, value *ast.Value) {
		if value.Kind != ast.Variable {
			return
		}
		u.values = append(u.values, value)
		operation, variable := walker.CurrentOperation, value.VariableDefinition
		if operation == nil || variable == nil || seen[variable] ||
			value.ExpectedType == nil || !value.ExpectedType.NonNull || variable.Type.NonNull {
			return
		}
		seen[variable] = true
		u.nonNull[operation] = append(u.nonNull[operation], nonNullUse{variable, value.Position})
	})
}

// forget removes the definitions of variables from the places that use them. After validation, a fragment has the
// definitions of the last operation that spreads it, and the executor would use its defaults in all other operations.
// The coerced variables contain the right defaults already.
func (u *uses) forget() {
	for _, value := range u.values {
		value.VariableDefinition = nil
	}
	u.values = nil
}

// variablesInAllowedPosition is the rule that the type of a variable fits the place that uses it. For an object of a
// type with @oneOf, the rule of gqlparser does not name the entry with a nullable variable.
func variablesInAllowedPosition(observers *validator.Events, addError validator.AddErrFunc) {
	observers.OnValue(func(walker *validator.Walker, value *ast.Value) {
		variable := value.VariableDefinition
		if value.Kind != ast.Variable || value.ExpectedType == nil || variable == nil || walker.CurrentOperation == nil {
			return
		}
		expected := *value.ExpectedType
		hasDefault := variable.DefaultValue != nil && variable.DefaultValue.Kind != ast.NullValue
		if hasDefault || value.ExpectedTypeHasDefault { // nulls checks for a null
			expected.NonNull = false
		}
		if !variable.Type.IsCompatible(&expected) {
			addError(validator.Message(`Variable "$%s" of type "%s" used in position expecting type "%s".`,
				value.Raw, variable.Type, value.ExpectedType), at(value.Position))
		}
	})
	observers.OnValue(func(walker *validator.Walker, value *ast.Value) {
		if value.Kind != ast.ObjectValue || value.Definition == nil || value.Definition.Directives.ForName("oneOf") == nil ||
			walker.CurrentOperation == nil {
			return
		}
		for _, child := range value.Children {
			variable := child.Value.VariableDefinition
			if child.Value.Kind == ast.Variable && variable != nil && !variable.Type.NonNull {
				addError(validator.Message(`Variable "$%s" of type "%s" can be null, but the entry "%s" of %s must not be: declare it as "%s!".`,
					child.Value.Raw, variable.Type, child.Name, value.Definition.Name, variable.Type), at(child.Value.Position))
			}
		}
	})
}

// nulls returns an error for each variable of a request that is null although a place takes no null, at most
// [MaxErrors]. The errors name nothing of the schema.
func (d *Document) nulls(operation *ast.OperationDefinition, variables map[string]any) (errs gqlerror.List) {
	for _, use := range d.nonNull[operation] {
		name := use.variable.Variable
		value, given := variables[name]
		null := given && value == nil || !given && use.variable.DefaultValue != nil && use.variable.DefaultValue.Kind == ast.NullValue
		if !null {
			continue
		}
		err := refuse(codes.ValidationFailed, fmt.Sprintf(`Variable "$%s" is null, but is used where null is not allowed.`, name))
		err.Path = ast.Path{ast.PathName("variable"), ast.PathName(name)}
		err.Locations = []gqlerror.Location{{Line: use.at.Line, Column: use.at.Column}}
		if errs = append(errs, Tidy(err)); len(errs) == MaxErrors {
			break
		}
	}
	return errs
}
