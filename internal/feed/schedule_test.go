package feed

import (
	"sync"
	"testing"
)

// TestUrgency decides how soon news needs a look.
func TestUrgency(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		situation
		news news
		want urgency
	}{
		"nothing": {situation{followed: true, hears: true}, 0, never},

		"a commit, nobody follows":                          {situation{hears: true}, committed, later},
		"a commit, subscribers":                             {situation{followed: true, hears: true}, committed, now},
		"a commit, subscribers elsewhere":                   {situation{hears: true, elsewhere: true}, committed, now},
		"a commit, subscribers elsewhere, no signals":       {situation{elsewhere: true}, committed, later},
		"a commit while another server numbers":             {situation{followed: true, hears: true, raced: true}, committed, soon},
		"a commit while another server numbers, no signals": {situation{followed: true, raced: true}, committed, now},
		"a commit while another server numbers for nobody":  {situation{hears: true, raced: true}, committed, later},

		"another program, nobody follows":        {situation{hears: true}, foreign, later},
		"another program, subscribers":           {situation{followed: true, hears: true, elsewhere: true}, foreign, soon},
		"another program, subscribers elsewhere": {situation{hears: true, elsewhere: true}, foreign, never},

		"the first subscriber":            {situation{followed: true}, arrived, now},
		"the first subscriber left again": {situation{}, arrived, later},
		"changes are left":                {situation{behind: true}, arrived, now},

		"another server gets subscribers while changes wait": {situation{hears: true, waiting: true}, wanted, now},
		"another server gets subscribers":                    {situation{hears: true}, wanted, never},

		"signals broke, subscribers":    {situation{followed: true}, unsure, now},
		"signals broke, nobody follows": {situation{}, unsure, later},

		"told":   {situation{followed: true, hears: true}, told, never},
		"asked":  {situation{followed: true, hears: true}, asked, never},
		"spared": {situation{followed: true, hears: true}, spared, never},

		"the most urgent counts": {situation{hears: true, elsewhere: true}, committed | foreign | told | spared, now},
	} {
		if got := test.urgency(test.news); got != test.want {
			t.Errorf("%s: got %d, want %d", name, got, test.want)
		}
	}
}

// TestInbox adds news from several goroutines. Each thing arrives, and a thing that was dropped does not.
func TestInbox(t *testing.T) {
	t.Parallel()
	i := newInbox()
	var adding sync.WaitGroup
	for thing := committed; thing <= unsure; thing <<= 1 {
		adding.Go(func() { i.add(thing) })
	}
	var got news
	for all := 2*unsure - 1; got != all; got |= i.take() {
		<-i.full
	}
	adding.Wait()
	i.add(told | foreign)
	i.drop(foreign)
	if got := i.take(); got != told {
		t.Errorf("got %b, want %b", got, told)
	}
}
