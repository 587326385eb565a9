package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Clients has the settings of how clients are told apart, and how much each of them may ask for.
type Clients struct {
	RateLimit      *int64   `min:"0" max:"1000000000" placeholder:"POINTS" help:"Points of cost that a caller may ask for in a minute, on each server. Anonymous callers share those of their address. Beyond: RATE_LIMITED, with the time to wait. An operation that costs more fails with COST_LIMIT. 0: no limit. Without the flag: 30000000 with authentication, no limit without."`
	TrustedProxies []string `placeholder:"NETWORK" help:"Addresses and networks of proxies whose X-Forwarded-For tells the address of the client, such as 10.0.0.0/8 or 192.0.2.1. Without the flag: none."`
}

// defaultRateLimit is about what four processors do in a minute. It keeps a caller from taking all of a server, and no
// more: the operator knows what a fair share is.
const defaultRateLimit = 30_000_000

// PointsPerMinute returns the rate limit, in points of cost. 0 is no limit. authentication says whether there is any.
func (c Clients) PointsPerMinute(authentication bool) int64 {
	switch {
	case c.RateLimit != nil:
		return *c.RateLimit
	case authentication:
		return defaultRateLimit
	}
	return 0
}

// leastBits returns the length of the largest network that belongs to one owner: 10.0.0.0/8, and fc00::/7.
func leastBits(a netip.Addr) int {
	if a.Is4() {
		return 8
	}
	return 7
}

// Proxies returns the networks of TrustedProxies. local says that the server refuses requests from proxies. The error
// names the flag and says what to do.
func (c Clients) Proxies(local bool) ([]netip.Prefix, error) {
	if len(c.TrustedProxies) > 0 && local {
		return nil, errors.New("--trusted-proxies has no effect without authentication, because the server refuses requests from proxies: also set " + AuthModes)
	}
	networks := make([]netip.Prefix, len(c.TrustedProxies))
	for i, text := range c.TrustedProxies {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			var address netip.Addr
			address, err = netip.ParseAddr(text)
			network = netip.PrefixFrom(address, address.BitLen())
		}
		switch {
		case err != nil || strings.Contains(text, "%"): // a zone is a name of this machine
			return nil, fmt.Errorf("--trusted-proxies must have addresses and networks such as 192.0.2.1 or 10.0.0.0/8, not %q", text)
		case network.Addr().Is4In6():
			return nil, fmt.Errorf("--trusted-proxies must have IPv4 networks in their usual form, such as 10.0.0.0/8, not %q", text)
		case network != network.Masked():
			return nil, fmt.Errorf("--trusted-proxies has %q, whose network is %v: write the network, or the address alone", text, network.Masked())
		case network.Bits() < leastBits(network.Addr()):
			return nil, fmt.Errorf("--trusted-proxies must not have %q: in such a large network, clients could choose their addresses", text)
		}
		networks[i] = network
	}
	return networks, nil
}
