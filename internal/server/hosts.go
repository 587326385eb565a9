package server

import (
	"net/http"
	"net/url"
	"strings"

	"roster/internal/codes"
)

// hosts are the hosts that requests may name.
type hosts struct {
	local       bool // the hosts are those of this machine, and proxies are refused
	listed      map[string]bool
	why, remedy string // of local, for error messages
}

func newHosts(local bool, list []string) hosts {
	if local {
		list = []string{"localhost", "127.0.0.1", "[::1]"}
	}
	h := hosts{
		local: local, listed: make(map[string]bool, len(list)), why: "this server has no authentication",
		remedy: "configure authentication, or allow everything to everyone with ROSTER_INSECURE_NO_AUTH=true",
	}
	for _, host := range list {
		h.listed[host] = true
	}
	return h
}

// GuardLocal refuses requests that name another host than this machine, and requests from proxies. The error messages say why,
// such as "this listener is for this machine", and the remedy.
func GuardLocal(next http.Handler, why, remedy string) http.Handler {
	h := newHosts(true, nil)
	h.why, h.remedy = why, remedy
	return h.guard(next)
}

// guard refuses requests for other hosts. A page of any site can make its own name resolve to this machine (DNS
// rebinding). For a browser, the server then has the same origin as the page, but the header Host still has the name of
// the site. Behind a proxy, a request for this machine can come from anywhere.
func (h hosts) guard(next http.Handler) http.Handler {
	if len(h.listed) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case h.local && forwarded(r):
			refuseFor(http.StatusForbidden, codes.Forbidden, h.why+", so it refuses requests from proxies: "+h.remedy).write(w, typeJSON)
		case h.listed[hostOf(r)]:
			next.ServeHTTP(w, r)
		case h.local:
			refuseFor(http.StatusForbidden, codes.Forbidden, h.why+", so it answers only requests for localhost, 127.0.0.1 and [::1]: "+
				h.remedy).write(w, typeJSON)
		default:
			refuseFor(http.StatusForbidden, codes.Forbidden, "this server does not answer requests for this host: add the host to "+
				"ROSTER_ALLOWED_HOSTS").write(w, typeJSON)
		}
	})
}

// forwarded reports whether a proxy passed on the request: it has a header that tells about the client of the proxy.
func forwarded(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
		if len(r.Header[name]) > 0 {
			return true
		}
	}
	return false
}

// hostOf returns the host of a request in lower case and without its port, or "" if it has no usual form. The host is
// that of the URL in the first line, of :authority in HTTP/2, or of the header Host, in this order. A dot at its end
// remains, because it makes another name.
func hostOf(r *http.Request) string {
	u, err := url.Parse("//" + r.Host)
	if err != nil || u.Host != r.Host {
		return ""
	}
	return strings.ToLower(strings.TrimSuffix(r.Host, ":"+u.Port()))
}
