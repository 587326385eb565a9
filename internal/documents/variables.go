package documents

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"

	"roster/internal/codes"
)

// uses are the variables of a document, as validation finds them.
type uses struct {
	nonNull map[*ast.OperationDefinition][]nonNullUse
	values  []*ast.Value // every variable in an argument, an object or a list
}

// nonNullUse is the first place where an operation uses a variable that must not be null there, although its type allows
// it. A default of the variable or of the place makes that valid as long as the variable is left out; a null is an error
// when the operation is executed: https://spec.graphql.org/September2025/#IsVariableUsageAllowed(). The executor does
// not look: some places panic, some take the null for a value.
type nonNullUse struct {
	variable *ast.VariableDefinition
	at       *ast.Position
}

// observe has the uses found while a document is validated.
func (u *uses) observe(observers *validator.Events) {
	u.nonNull = map[*ast.OperationDefinition][]nonNullUse{}
	seen := map[*ast.VariableDefinition]bool{} // each is of one operation
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

// forget takes the definitions of variables from the places that use them. A fragment has those of the last operation that
// spreads it, whose default would be the value in the other operations, too. Coerced variables have the right default.
func (u *uses) forget() {
	for _, value := range u.values {
		value.VariableDefinition = nil
	}
	u.values = nil
}

// variablesInAllowedPosition is the specification's rule that a variable has the type of its place. The library's does
// not name the entry of an object that takes exactly one, which no variable may be that can be null.
func variablesInAllowedPosition(observers *validator.Events, addError validator.AddErrFunc) {
	observers.OnValue(func(walker *validator.Walker, value *ast.Value) {
		variable := value.VariableDefinition
		if value.Kind != ast.Variable || value.ExpectedType == nil || variable == nil || walker.CurrentOperation == nil {
			return
		}
		expected := *value.ExpectedType
		hasDefault := variable.DefaultValue != nil && variable.DefaultValue.Kind != ast.NullValue
		if hasDefault || value.ExpectedTypeHasDefault { // a null is found when the operation is executed
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

// nulls returns an error for each variable of an operation that is null and must not be. It names nothing of the schema.
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
