package config_test

import (
	"fmt"
	"strings"
	"testing"

	"roster/internal/config"
)

func TestProxies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ list, want, says string }{
		{"", "[]", ""},
		{"192.0.2.1", "[192.0.2.1/32]", ""},
		{"10.0.0.0/8 2001:db8::/32 ::1", "[10.0.0.0/8 2001:db8::/32 ::1/128]", ""},
		{"10.0.0.0/32", "[10.0.0.0/32]", ""},
		{"::ffff:10.0.0.0/104", "", "usual form"},
		{"::ffff:10.0.0.1", "", "usual form"},
		{"10.0.0.1/8", "", "10.0.0.0/8"},
		{"2001:db8::1/64", "", "2001:db8::/64"},
		{"0.0.0.0/0", "", "choose their addresses"},
		{"0.0.0.0/1 128.0.0.0/1", "", "choose their addresses"},
		{"::/0", "", "choose their addresses"},
		{"2000::/3", "", "choose their addresses"},
		{"fc00::/7", "[fc00::/7]", ""},
		{"10.0.0.0/33", "", `not "10.0.0.0/33"`},
		{"10.0.0.0/08", "", "--trusted-proxies must have"},
		{"10.0.0.0/-1", "", "--trusted-proxies must have"},
		{"010.0.0.1", "", "--trusted-proxies must have"},
		{"10.0.0", "", "--trusted-proxies must have"},
		{"fe80::1%eth0", "", "--trusted-proxies must have"},
		{"192.0.2.1:80", "", "--trusted-proxies must have"},
		{"[::1]", "", "--trusted-proxies must have"},
		{"proxy.example.com", "", "--trusted-proxies must have"},
		{"*", "", "--trusted-proxies must have"},
	} {
		got, err := config.Clients{TrustedProxies: strings.Fields(test.list)}.Proxies(false)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) || err == nil && fmt.Sprint(got) != test.want {
			t.Errorf("%s: got %v, %v, want %s and %q", test.list, got, err, test.want, test.says)
		}
	}
	if _, err := (config.Clients{TrustedProxies: []string{"192.0.2.1"}}).Proxies(true); err == nil || !strings.Contains(err.Error(), "no effect without authentication") {
		t.Errorf("without authentication: got %v, want an error that says it has no effect", err)
	}
}

func TestPointsPerMinute(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		limit          *int64
		authentication bool
		want           int64
	}{
		{nil, false, 0},
		{nil, true, 30_000_000},
		{new(int64(0)), true, 0},
		{new(int64(600)), true, 600},
		{new(int64(600)), false, 600},
	} {
		if got := (config.Clients{RateLimit: test.limit}).PointsPerMinute(test.authentication); got != test.want {
			t.Errorf("%v, authentication %t: got %d, want %d", test.limit, test.authentication, got, test.want)
		}
	}
}
