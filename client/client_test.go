package client_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signalbox-dev/signalbox/client"
)

func TestNewRefuses(t *testing.T) {
	for _, c := range []client.Config{
		{URL: "ftp://127.0.0.1"}, {URL: "127.0.0.1:7420"}, {URL: "http://"}, {URL: "http://alice:secret@127.0.0.1"},
		{URL: "http://signalbox.example.com", Token: "secret"}, {URL: "http://127.0.0.1.example.com", Token: "secret"},
		{URL: "https://127.0.0.1", CA: []byte("no PEM")},
	} {
		_, err := client.New(c)
		if err == nil {
			t.Errorf("%+v was taken", c)
		} else if strings.Contains(err.Error(), "secret") && !strings.Contains(c.URL, "secret") {
			t.Errorf("the error quotes the token: %v", err)
		}
	}
	for _, c := range []client.Config{
		{}, {URL: "http://localhost:7420", Token: "secret"}, {URL: "http://[::1]:7420/", Token: "secret"},
		{URL: "https://signalbox.example.com", Token: "secret"}, {URL: "http://signalbox.example.com"},
	} {
		if _, err := client.New(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	var elsewhere bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere = true }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/whoami":
			fmt.Fprintf(w, `{"person":{"name":%q}}`, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		case "/api/v1/holds/denied":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"status":403,"title":"Forbidden","detail":"not you","hint":"ask bob","errors":[{"message":"too long","location":"body.name"}]}`)
		case "/api/v1/holds/proxy":
			http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
		case "/api/v1/holds/moved":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		default:
			fmt.Fprint(w, `{`)
		}
	}))
	defer srv.Close()
	c, err := client.New(client.Config{URL: srv.URL + "/", Token: "t0k"})
	if err != nil {
		t.Fatal(err)
	}
	if who, err := c.Whoami(t.Context()); err != nil || who.Person.Name != "t0k" {
		t.Errorf("whoami: %+v, %v", who, err)
	}
	_, err = c.Hold(t.Context(), "denied")
	var p *client.Problem
	if !errors.As(err, &p) || p.Hint != "ask bob" || err.Error() != "not you; body.name: too long" {
		t.Errorf("problem: %v (%+v)", err, p)
	}
	if _, err = c.Hold(t.Context(), "proxy"); !client.IsStatus(err, http.StatusBadGateway) ||
		!strings.Contains(err.Error(), "502") {
		t.Errorf("a proxy's page: %v", err)
	}
	if _, err = c.Hold(t.Context(), "moved"); err == nil || elsewhere {
		t.Errorf("redirected elsewhere: %v, %t", err, elsewhere)
	}
	if _, err = c.Hold(t.Context(), "../whoami"); err == nil || strings.Contains(err.Error(), "t0k") {
		t.Errorf("an id that is a path: %v", err)
	}
	srv.Close()
	var away *client.Unreachable
	if _, err = c.Whoami(t.Context()); !errors.As(err, &away) || strings.Contains(err.Error(), "t0k") {
		t.Errorf("nobody there: %v", err)
	}
}
