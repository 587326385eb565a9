package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// headerForwarded has the client of a proxy, after those of the proxies before it.
const headerForwarded = "X-Forwarded-For"

// clients finds the addresses of clients, also behind proxies.
type clients struct {
	proxies []netip.Prefix
	logger  *slog.Logger // of a warning; nil: the addresses do not matter
	warned  *sync.Once
}

func newClients(proxies []netip.Prefix, logger *slog.Logger) clients {
	return clients{proxies: proxies, logger: logger, warned: &sync.Once{}}
}

// address returns the address of the client of a request. Each proxy appends its own client to X-Forwarded-For, so the
// client is the rightmost address that is no trusted proxy: the client can have sent all addresses before it. If a trusted
// proxy says nothing that is an address, the proxy counts as the client. If all addresses are trusted proxies, the leftmost
// one is the client.
func (c clients) address(ctx context.Context, r *http.Request) netip.Addr {
	client, _ := parseAddress(r.RemoteAddr)
	lines := r.Header[headerForwarded] // together they are one list (RFC 9110, section 5.3)
	if len(lines) > 0 && c.logger != nil && !c.trusted(client) {
		c.warn(ctx, client)
	}
	for _, line := range slices.Backward(lines) {
		for rest, more := line, true; more; {
			if !c.trusted(client) {
				return client
			}
			var last string
			rest, last, more = cutLast(rest)
			address, ok := parseAddress(strings.TrimSpace(last))
			if !ok {
				return client
			}
			client = address
		}
	}
	return client
}

// cutLast cuts a list before its last element.
func cutLast(list string) (before, last string, more bool) {
	if at := strings.LastIndexByte(list, ','); at >= 0 {
		return list[:at], list[at+1:], true
	}
	return "", list, false
}

// parseAddress reads an IP address, also with a port or in brackets. The result has no zone, and an IPv4 address in IPv6 is
// an IPv4 address: an address has one form.
func parseAddress(text string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(text)
	if inner, ok := strings.CutSuffix(text, "]"); ok && strings.HasPrefix(inner, "[") && strings.Contains(inner, ":") {
		address, err = netip.ParseAddr(inner[1:])
	}
	if err != nil {
		withPort, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		address = withPort.Addr()
	}
	return address.Unmap().WithZone(""), true
}

func (c clients) trusted(a netip.Addr) bool {
	for _, proxy := range c.proxies {
		if proxy.Contains(a) {
			return true
		}
	}
	return false
}

// warn says once that there may be a proxy that is not trusted. All clients behind it share one budget.
func (c clients) warn(ctx context.Context, peer netip.Addr) {
	c.warned.Do(func() {
		c.logger.WarnContext(ctx, "a request has the header X-Forwarded-For, but does not come from a trusted proxy: "+
			"if this peer is your proxy, add it to ROSTER_TRUSTED_PROXIES, so that its clients do not share one rate limit",
			"peer", peer)
	})
}
