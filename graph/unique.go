package graph

import (
	"roster/ent/rules"
	"roster/internal/typeid"
)

// claims is what the inputs of a mutation are to have in a column that is unique, in its folded form. All of them change
// hands at one moment: what one gives up is free for another one.
type claims struct {
	field string // in GraphQL
	list  []claim
	open  map[string]int // what was not had before, and the index of who is to have it
}

// claim is what one input is to have.
type claim struct {
	who        typeid.ID // zero for what is new
	had, wants string    // empty for nothing
}

// settle adds a fault to each input that wants what another one has or wants before it.
func (c *claims) settle(in *inputs) {
	kept := make(map[string]bool, len(c.list))
	for _, one := range c.list {
		if one.wants == one.had {
			kept[one.wants] = true
		}
	}
	c.open = make(map[string]int, len(c.list))
	for i, one := range c.list {
		if one.wants == "" || one.wants == one.had || !in.all[i].clean(c.field) {
			continue
		}
		if _, again := c.open[one.wants]; again || kept[one.wants] {
			in.all[i].add(taken(), c.field)
			continue
		}
		c.open[one.wants] = i
	}
}

// refuse adds a fault to each input that wants what something else has and does not give up. owners is who has what.
func (c *claims) refuse(in *inputs, owners map[string]typeid.ID) {
	gives := make(map[typeid.ID]bool, len(c.list))
	for _, one := range c.list {
		gives[one.who] = one.wants != one.had
	}
	for value, owner := range owners {
		if i := c.open[value]; !gives[owner] && c.list[i].who != owner && in.all[i].clean(c.field) {
			in.all[i].add(taken(), c.field)
		}
	}
}

// moves is the indices of those who have what another one is to have: it has to be taken from them first.
func (c *claims) moves() (from []int) {
	wanted := make(map[string]bool, len(c.list))
	for _, one := range c.list {
		if one.wants != one.had {
			wanted[one.wants] = true
		}
	}
	for i, one := range c.list {
		if one.had != "" && one.had != one.wants && wanted[one.had] {
			from = append(from, i)
		}
	}
	return from
}

// vacant is what something has in a unique column for a moment, while it gives up one value and has not the next. It is
// like nothing that a rule lets through.
func vacant(id typeid.ID) string { return " " + id.UUID().String() }

// taken is the fault of a value that is somebody else's.
func taken() *rules.Fault { return &rules.Fault{Code: rules.Taken, Message: "is taken"} }
