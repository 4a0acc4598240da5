// Package console serves the pages that people look at: what waits for
// approval, who is at work, and what was recorded last.
//
// The one thing to know: a person logs in with his token, and the browser then
// keeps a secret of that one log-in, in a cookie that no script and no other site
// can use. It opens nothing but these pages, and ends with the log-out, when it is
// not used, and when the person's credentials are revoked. A session's credential
// opens nothing here (promise P5). Pages run no scripts. Whatever an
// agent wrote is escaped by [signalbox.VisibleLines], quoted and labelled.
package console

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/session"
	"github.com/signalbox-dev/signalbox/internal/ledger"
	"github.com/signalbox-dev/signalbox/internal/server/identity"
)

// Config says what the console works with.
type Config struct {
	Interlock *interlock.Interlock
	State     interlock.Reader // for lists and details
	Ledger    *ledger.Log
	Guard     *identity.Guard
	Gates     func() []client.Gate
	Secure    bool // the console is reached over HTTPS alone
	Version   string
	Logger    *slog.Logger
}

type console struct {
	Config
	pages map[string]*template.Template
}

//go:embed pages
var files embed.FS

// Register puts the console's routes into mux.
func Register(mux *http.ServeMux, c Config) {
	s := &console{Config: c, pages: make(map[string]*template.Template)}
	for _, page := range []string{"home", "hold", "login", "error"} {
		s.pages[page] = template.Must(template.New("frame.html").Funcs(functions).
			ParseFS(files, "pages/frame.html", "pages/"+page+".html"))
	}
	// Refuses what another site makes a browser send, beside the cookie's
	// SameSite.
	cross := http.NewCrossOriginProtection()
	post := func(pattern string, h http.HandlerFunc) { mux.Handle("POST "+pattern, cross.Handler(h)) }

	mux.HandleFunc("GET /{$}", s.person(s.home))
	mux.HandleFunc("GET /holds/{id}", s.person(s.hold))
	post("/holds/{id}/answer", s.person(s.answer))
	mux.HandleFunc("GET /login", s.loginPage)
	post("/login", s.login)
	post("/logout", s.logout)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		http.ServeFileFS(w, r, files, "pages/style.css")
	})
}

// The names of the cookie. A browser takes the first over HTTPS alone, from this
// very host, and shows it to no other. Without TLS there is no such protection,
// and the name says so.
const (
	secureCookie    = "__Host-signalbox"
	plaintextCookie = "signalbox-plaintext"
)

func (c *console) cookieName() string {
	if c.Secure {
		return secureCookie
	}
	return plaintextCookie
}

// person lets humans in who have logged in, and sends others to the login page.
func (c *console) person(page func(http.ResponseWriter, *http.Request, interlock.Caller)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		cookie, err := r.Cookie(c.cookieName())
		if err != nil {
			c.toLogin(w, r)
			return
		}
		who, err := c.Guard.IdentifyConsole(r.Context(), identity.Address(r), cookie.Value)
		switch {
		case errors.Is(err, interlock.ErrUnavailable):
			c.fail(w, r, http.StatusServiceUnavailable, err)
		case err != nil || who.Person == nil:
			c.toLogin(w, r)
		default:
			page(w, r, who)
		}
	}
}

func (c *console) toLogin(w http.ResponseWriter, r *http.Request) {
	to := "/login"
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?next=" + url.QueryEscape(r.URL.Path)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (c *console) loginPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	c.show(w, http.StatusOK, "login", page{Data: map[string]string{"Next": local(r.URL.Query().Get("next"))}})
}

func (c *console) login(w http.ResponseWriter, r *http.Request) {
	next := local(r.PostFormValue("next"))
	who, err := c.Guard.Identify(r.Context(), identity.Address(r), strings.TrimSpace(r.PostFormValue("token")))
	if err != nil || who.Person == nil {
		w.Header().Set("Cache-Control", "no-store")
		status, text := http.StatusUnauthorized, "That token is not valid."
		switch {
		case errors.Is(err, identity.ErrTooMany):
			status, text = http.StatusTooManyRequests, "Too many invalid tokens came from your address: wait a minute."
		case errors.Is(err, interlock.ErrUnavailable):
			status, text = http.StatusServiceUnavailable, "The server cannot look it up just now."
		case err == nil:
			status, text = http.StatusForbidden, "That is a session's credential: only people log in here, with a token of their own."
		}
		c.show(w, status, "login", page{Data: map[string]string{"Next": next, "Error": text}})
		return
	}
	secret, err := c.Interlock.ConsoleLogin(r.Context(), who, identity.Address(r))
	if err != nil {
		c.fail(w, r, http.StatusServiceUnavailable, err)
		return
	}
	http.SetCookie(w, c.cookie(secret, int(interlock.ConsoleTime.Seconds())))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (c *console) logout(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if cookie, err := r.Cookie(c.cookieName()); err == nil {
		err := c.Interlock.ConsoleLogout(r.Context(), cookie.Value)
		if err != nil && !errors.Is(err, session.ErrCredential) {
			// It must not look ended while it is not.
			c.fail(w, r, http.StatusServiceUnavailable, err)
			return
		}
	}
	http.SetCookie(w, c.cookie("", -1))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func (c *console) cookie(value string, seconds int) *http.Cookie {
	return &http.Cookie{
		Name: c.cookieName(), Value: value, Path: "/", MaxAge: seconds,
		HttpOnly: true, Secure: c.Secure, SameSite: http.SameSiteStrictMode,
	}
}

// local gives the page to go to after the login: a hold's, or the first.
// Anything else could lead to another site.
func local(next string) string {
	rest, ok := strings.CutPrefix(next, "/holds/")
	if !ok || signalbox.ValidName("hold", rest) != nil {
		return "/"
	}
	return next
}

// page is what every template gets.
type page struct {
	Who  *interlock.Caller // nil: nobody has logged in
	Now  time.Time
	Data any
}

func (c *console) show(w http.ResponseWriter, status int, name string, p page) {
	p.Now = time.Now()
	var b bytes.Buffer
	if err := c.pages[name].Execute(&b, p); err != nil {
		c.Logger.Error("page not shown", "page", name, "error", err)
		http.Error(w, "this page cannot be shown: see the server's diagnostics", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// An error here means that the reader has gone.
	_, _ = w.Write(b.Bytes())
}

func (c *console) fail(w http.ResponseWriter, r *http.Request, status int, err error) {
	text := err.Error()
	switch {
	case errors.Is(err, interlock.ErrNotFound):
		status, text = http.StatusNotFound, "There is no such thing here."
	case status >= 500 && !errors.Is(err, context.Canceled):
		c.Logger.Error("page not shown", "path", r.URL.Path, "error", err)
		text = "The server cannot show this just now: see its diagnostics."
	}
	c.show(w, status, "error", page{Data: text})
}
