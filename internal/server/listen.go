package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// Listen opens a listener on HOST:PORT. The error gives the reason in words for the operator.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var network net.ListenConfig
	listener, err := network.Listen(ctx, "tcp", address)
	if err == nil {
		return listener, nil
	}
	return nil, unusable(address, err)
}

// ListenLocal is Listen for an address that can be reached only from this machine. IsLoopback reports this before, but
// the name of a host can have another address when the listener looks it up again.
func ListenLocal(ctx context.Context, address string) (net.Listener, error) {
	listener, err := Listen(ctx, address)
	if err != nil {
		return nil, err
	}
	if actual, ok := listener.Addr().(*net.TCPAddr); !ok || !actual.IP.IsLoopback() {
		err := fmt.Errorf("cannot listen on %s: %s can be reached from other machines", address, listener.Addr())
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// IsLoopback reports whether HOST:PORT can be reached only from this machine. The error says that the host cannot be looked
// up, in words for the operator.
func IsLoopback(ctx context.Context, address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return false, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return false, unusable(address, err)
	}
	return !slices.ContainsFunc(ips, func(ip netip.Addr) bool { return !ip.Unmap().IsLoopback() }), nil
}

// unusable returns the error of an address that cannot be listened on.
func unusable(address string, err error) error {
	_, port, _ := net.SplitHostPort(address)
	reason := "the address cannot be used"
	number, isSystem := errors.AsType[syscall.Errno](err)
	_, isLookup := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		reason = "another program listens there"
	case errors.Is(err, syscall.EACCES):
		reason = fmt.Sprintf("this user may not use port %s", port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		reason = "this machine does not have the address"
	case isLookup:
		reason = "there is no host of this name, or it cannot be looked up"
	case isSystem:
		reason = number.Error()
	}
	return fmt.Errorf("cannot listen on %s: %s", address, reason)
}
