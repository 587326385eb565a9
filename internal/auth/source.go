package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"
)

const (
	// fetchTimeout bounds one fetch of the keys, with discovery.
	fetchTimeout = 5 * time.Second
	// maxAnswerBytes bounds each answer of the provider.
	maxAnswerBytes = 1 << 20
	// maxRedirects bounds the redirects of one request.
	maxRedirects = 5
)

// source fetches the keys of an identity provider.
type source struct {
	client *http.Client
	local  bool   // the configured address is http on a loopback address, so others may be, too
	keys   string // address of the key set; empty with discovery
	issuer string // issuer to discover the address from
}

// newSource returns a source with a key set at an address or, if it is empty, with the one that discovery finds. The
// client is its own: it ignores the proxies of the environment, and leaves no connection open between two fetches.
func newSource(keys, issuer string) (*source, error) {
	s := &source{keys: keys, issuer: issuer}
	flag, address := "--auth-jwks-url", keys
	if keys == "" {
		flag, address = "--auth-issuer", issuer
	}
	u, err := url.Parse(address)
	s.local = err == nil && u.Scheme == "http" && isLoopback(u)
	if err != nil || !s.permits(u) {
		return nil, fmt.Errorf("%s must be an address with https, or with http on a loopback address", flag)
	}
	s.client = &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects || !s.permits(r.URL) {
				return errors.New("the redirect is not followed")
			}
			return nil
		},
	}
	return s, nil
}

// permits reports whether an address may be asked: an answer that is not protected on its way could bring any keys.
func (s *source) permits(u *url.URL) bool {
	return u.Scheme == "https" && u.Host != "" || s.local && u.Scheme == "http" && isLoopback(u)
}

// safeAddress returns an address without its user, password and query, which may be secrets.
func safeAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

func isLoopback(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

// fetch returns the provider's keys.
func (s *source) fetch(ctx context.Context) (*keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	address := s.keys
	if address == "" {
		var err error
		if address, err = s.discover(ctx); err != nil {
			return nil, err
		}
	}
	data, err := s.get(ctx, address)
	if err != nil {
		return nil, err
	}
	set, err := parseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", safeAddress(address), err)
	}
	return set, nil
}

// discover returns the address of the key set (OpenID Connect Discovery 1.0, section 4).
func (s *source) discover(ctx context.Context) (string, error) {
	address := strings.TrimSuffix(s.issuer, "/") + "/.well-known/openid-configuration"
	data, err := s.get(ctx, address)
	if err != nil {
		return "", err
	}
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return "", fmt.Errorf("%s: the answer is no configuration of OpenID Connect", address)
	}
	if document.Issuer != s.issuer {
		return "", fmt.Errorf("%s: the issuer is %.255q, not that of --auth-issuer, %q", address, document.Issuer, s.issuer)
	}
	if u, err := url.Parse(document.Keys); err != nil || !s.permits(u) {
		return "", fmt.Errorf("%s: jwks_uri must be an address with https, not %.255q", address, document.Keys)
	}
	return document.Keys, nil
}

// get returns the answer at an address.
func (s *source) get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	where := safeAddress(address)
	response, err := s.client.Do(request)
	if failure, ok := errors.AsType[*url.Error](err); ok {
		err = failure.Err // without the address
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: the status is %d", where, response.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	if len(data) > maxAnswerBytes {
		return nil, fmt.Errorf("%s: the answer has more than %d bytes", where, maxAnswerBytes)
	}
	return data, nil
}
