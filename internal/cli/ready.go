package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"roster/internal/config"
)

// maxStatusBytes is more than an answer of /readyz has.
const maxStatusBytes = 4 << 10

type readyCommand struct {
	URL          string `arg:"" optional:"" help:"Server to ask: http://HOST:PORT, https://HOST:PORT, or unix:PATH for a socket. Without it, the server at --listen."`
	config.Ready `group:"Used most:"`
}

// Help is the text below the flags.
func (readyCommand) Help() string {
	return "The exit code is 0 if the server is ready for queries and mutations, and 1 if it is not, or does not answer."
}

// Run asks a server whether it is ready.
func (c *readyCommand) Run(ctx context.Context, e *environment) error {
	target, transport, err := c.target()
	if err != nil {
		return misuse(err)
	}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.JoinPath("readyz").String(), http.NoBody)
	if err != nil {
		return misuse(fmt.Errorf("the URL cannot be used: %w", err))
	}
	if len(c.AllowedHosts) > 0 {
		request.Host = c.AllowedHosts[0]
	}
	client := http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", c.name(target), c.unanswered(ctx, err))
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusOK {
		_, err := fmt.Fprintln(e.stdout, "ready")
		return err
	}
	var body struct{ Status string }
	text, err := io.ReadAll(io.LimitReader(response.Body, maxStatusBytes))
	if err != nil || json.Unmarshal(text, &body) != nil || body.Status == "" {
		return fmt.Errorf("%s is not ready: it answers %s", c.name(target), response.Status)
	}
	return fmt.Errorf("%s is not ready: %s", c.name(target), body.Status)
}

// name returns the address for people.
func (c *readyCommand) name(target *url.URL) string {
	if strings.HasPrefix(c.URL, "unix:") {
		return c.URL
	}
	return target.Redacted()
}

// unanswered returns the reason why there is no answer, in words for the operator.
func (c *readyCommand) unanswered(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("it took more than %s", c.Timeout)
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return errors.New(number.Error())
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// target returns the URL of the server, and the transport that reaches it. The transport uses no proxy.
func (c *readyCommand) target() (*url.URL, *http.Transport, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	if path, ok := strings.CutPrefix(c.URL, "unix:"); ok {
		if path == "" {
			return nil, nil, errors.New("the URL unix: needs the path of a socket, such as unix:/run/roster/admin.sock")
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		return &url.URL{Scheme: "http", Host: "localhost"}, transport, nil
	}
	if c.URL != "" {
		target, err := url.Parse(c.URL)
		if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
			return nil, nil, errors.New("the URL must be http://HOST:PORT, https://HOST:PORT or unix:PATH")
		}
		return target, transport, nil
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("--listen must be HOST:PORT, such as 127.0.0.1:8080, not %q", c.Listen)
	}
	if port == "0" {
		return nil, nil, fmt.Errorf("--listen=%s takes a free port, which is not known here: give the URL of the server", c.Listen)
	}
	if address, err := netip.ParseAddr(host); host == "" || err == nil && address.IsUnspecified() {
		host = "127.0.0.1"
		if address.Is6() {
			host = "::1"
		}
	}
	target := &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}
	if c.TLSCert != "" {
		target.Scheme = "https"
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // The server itself, and no secret is sent.
	}
	return target, transport, nil
}
