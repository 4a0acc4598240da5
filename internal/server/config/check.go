package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/interlock"
	"github.com/signalbox-dev/signalbox/internal/interlock/control"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/proof"
)

// Resolve gives the configuration with its relative paths beginning at folder.
func (c Config) Resolve(folder string) Config {
	abs := func(name *string) {
		if *name != "" && !filepath.IsAbs(*name) {
			*name = filepath.Join(folder, *name)
		}
	}
	if c.Data == "" {
		c.Data = "signalbox-data"
	}
	abs(&c.Data)
	abs(&c.TLS.Cert)
	abs(&c.TLS.Key)
	abs(&c.Database.URL.File)
	abs(&c.MasterKey.File)
	abs(&c.Policies)
	abs(&c.Log.Key)
	c.Gates = slices.Clone(c.Gates)
	for i := range c.Gates {
		g := &c.Gates[i]
		abs(&g.TLS.Cert)
		abs(&g.TLS.Key)
		if g.Settings == nil {
			continue
		}
		g.Settings = clone(g.Settings)
		sources(g.Settings, func(_ string, from any) {
			switch from := from.(type) {
			case *secret.Source:
				abs(&from.File)
			case *gate.File:
				abs((*string)(from))
			}
		})
	}
	return c
}

// Defaults gives the configuration with every field that was left out filled
// in, but those that only a started server knows: URL, and the log's origin.
func (c Config) Defaults() Config {
	fill(&c.Data, "signalbox-data")
	fill(&c.Listen, DefaultListen)
	if c.Replica == "" {
		c.Replica, _ = os.Hostname()
		fill(&c.Replica, "signalbox")
	}
	fill(&c.Approvals.HoldTime, interlock.DefaultHoldTime)
	fill(&c.Approvals.PermitTime, interlock.DefaultPermitTime)
	fill(&c.Log.Key, filepath.Join(c.Data, "log.key"))
	fill(&c.Log.Publish, time.Second)
	fill(&c.Logging.Level, "info")
	fill(&c.Database.Reserve, 64<<20)
	fill(&c.Limits.Body, 4<<20)
	fill(&c.Limits.Failures, 30)
	fill(&c.Limits.OpenHolds, interlock.DefaultOpenHolds)
	c.Gates = slices.Clone(c.Gates)
	for i := range c.Gates {
		g := &c.Gates[i]
		if g.Listen == "" {
			host, port, _ := net.SplitHostPort(DefaultGateListen)
			first, _ := strconv.Atoi(port)
			g.Listen = net.JoinHostPort(host, strconv.Itoa(first+i))
		}
		fill(&g.Reads, ReadsSummary)
		fill(&g.Ceiling.Request, control.DefaultCeilingRequest)
		fill(&g.Ceiling.Total, control.DefaultCeilingTotal)
		if g.Settings != nil {
			g.Settings = clone(g.Settings)
			g.Settings.Defaults()
		}
	}
	return c
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Loopback reports whether host, a name or an address with or without a port,
// is this machine and nothing else.
func Loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// Production reports whether any gate's target counts as production.
func (c Config) Production() bool {
	return slices.ContainsFunc(c.Gates, func(g Gate) bool { return g.Environment.Production() })
}

// Variables names the environment variables that secrets are read from.
func (c Config) Variables() []string {
	secrets := []secret.Source{c.Database.URL, c.MasterKey}
	for _, g := range c.Gates {
		if g.Settings == nil {
			continue
		}
		sources(g.Settings, func(_ string, from any) {
			if s, ok := from.(*secret.Source); ok {
				secrets = append(secrets, *s)
			}
		})
	}
	var names []string
	for _, s := range secrets {
		if s.Env != "" && !slices.Contains(names, s.Env) {
			names = append(names, s.Env)
		}
	}
	return names
}

// check notes what is wrong with the meaning of a complete configuration.
func (p *reading) check(c Config) {
	p.address("listen", c.Listen)
	p.tls("tls", c.TLS)
	if !Loopback(c.Listen) && !c.TLS.Set() && !c.Plaintext {
		p.fail("listen", fmt.Sprintf("listen: %q can be reached from other machines without TLS, and tokens would travel in the clear", c.Listen),
			"give tls: {cert, key}, or plaintext: true if a proxy in front ends TLS")
	}
	if c.URL != "" {
		if u, err := url.Parse(c.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
			strings.Trim(u.Path, "/") != "" {
			p.fail("url", fmt.Sprintf("url: %q is not an address of a server", c.URL),
				"write it like https://signalbox.example.com")
		}
	}
	p.secret("database.url", c.Database.URL)
	p.secret("master_key", c.MasterKey)
	if c.Policies != "" {
		if info, err := os.Stat(c.Policies); err != nil || !info.IsDir() {
			p.fail("policies", fmt.Sprintf("policies: %q is not a folder", c.Policies),
				"name a folder of .cedar files, or leave the key out for the built-in policies")
		}
	}
	if c.Approvals.HoldTime < time.Minute || c.Approvals.PermitTime < time.Minute {
		p.fail("approvals", "approvals: hold_time and permit_time must be at least 1m", "")
	}
	if strings.ContainsAny(c.Log.Origin, " +\t\n") || strings.HasPrefix(c.Log.Origin, "http") {
		p.fail("log.origin", fmt.Sprintf("log.origin: %q is not a log's name", c.Log.Origin),
			"write it like signalbox.example.com/2026, without a scheme, spaces or +")
	}
	if c.Log.Publish < 100*time.Millisecond || c.Log.Publish > time.Hour {
		p.fail("log.publish", "log.publish: must be between 100ms and 1h", "")
	}
	p.oneOf("logging.format", c.Logging.Format, "", "text", "json")
	p.oneOf("logging.level", c.Logging.Level, "debug", "info", "warn", "error")
	if c.Database.Reserve < 16<<20 {
		// SQLite's write-ahead log alone takes 4 MB before it is used again.
		p.fail("database.reserve", "database.reserve: must be at least 16777216 bytes", "")
	}
	if c.Limits.Body < 1<<10 || c.Limits.Body > 64<<20 {
		p.fail("limits.body", "limits.body: must be between 1024 and 67108864 bytes", "")
	}
	if c.Limits.Failures < 1 || c.Limits.OpenHolds < 1 {
		p.fail("limits", "limits: failures and open_holds must be at least 1", "")
	}
	if c.Metrics.Listen != "" {
		p.address("metrics.listen", c.Metrics.Listen)
	}
	p.gates(c)
}

func (p *reading) gates(c Config) {
	names, listens := map[string]bool{}, map[string]string{c.Listen: "the API"}
	for i, g := range c.Gates {
		at := func(field string) string { return fmt.Sprintf("gates[%d].%s", i, field) }
		if err := signalbox.ValidName("gate", g.Name); err != nil {
			p.fail(at("name"), fmt.Sprintf("%s: %v", at("name"), err), "")
		} else if names[g.Name] || g.Name == interlock.APIGate || g.Name == proof.OwnGate {
			p.fail(at("name"), fmt.Sprintf("%s: the name %q is taken", at("name"), g.Name),
				"give every gate a name of its own")
		}
		names[g.Name] = true
		p.oneOf(at("kind"), g.Kind, p.kindNames()...)
		if g.Environment == "" {
			p.fail(at("environment"), at("environment")+": missing",
				"say where the target stands: production, staging, development or a name of your own")
		} else if err := signalbox.ValidName("environment", string(g.Environment)); err != nil {
			p.fail(at("environment"), fmt.Sprintf("%s: %v", at("environment"), err), "")
		}
		p.address(at("listen"), g.Listen)
		if by := listens[g.Listen]; by != "" && !strings.HasSuffix(g.Listen, ":0") {
			p.fail(at("listen"), fmt.Sprintf("%s: %q is used by %s", at("listen"), g.Listen, by), "choose another port")
		}
		listens[g.Listen] = "gate " + g.Name
		p.tls(at("tls"), g.TLS)
		if g.Wait < 0 || g.Wait > time.Hour {
			p.fail(at("wait"), at("wait")+": must be between 0 and 1h", "")
		}
		p.oneOf(at("reads"), g.Reads, ReadsSummary, ReadsEach)
		if g.Ceiling.Request < 0 || g.Ceiling.Total < 0 {
			p.fail(at("ceiling"), at("ceiling")+": must not be negative", "")
		}
		if g.Settings != nil {
			p.settings(fmt.Sprintf("gates[%d]", i), g.Settings)
		}
	}
	for _, f := range p.foreign {
		if f.given() {
			p.fail(f.path, f.path+": is for gates of kind "+strings.Join(f.kinds, ", "), "")
		}
	}
}

// settings checks what only gates of one kind are told.
func (p *reading) settings(at string, s gate.Settings) {
	sources(s, func(key string, from any) {
		switch key := at + "." + key; from := from.(type) {
		case *secret.Source:
			p.secret(key, *from)
		case *gate.File:
			if *from != "" {
				p.exists(key, string(*from))
			}
		}
	})
	s.Check(report{p, at})
}

// report implements [gate.Report] for a gate that is written at a key.
type report struct {
	*reading
	at string
}

func (r report) Problem(key, problem, hint string) {
	key = r.at + "." + key
	r.fail(key, key+": "+problem, hint)
}

func (r report) OneOf(key, value string, allowed ...string) {
	r.oneOf(r.at+"."+key, value, allowed...)
}

// oneOf wants one of the words allowed; "" among them means that the key may be
// left out.
func (p *reading) oneOf(at, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	names := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })
	hint := "want " + strings.Join(names, ", ")
	if len(names) > 1 {
		hint = "want one of " + strings.Join(names, ", ")
	}
	if n := nearest(value, names); value != "" && n != "" {
		hint = fmt.Sprintf("did you mean %q?", n)
	}
	if value == "" {
		p.fail(at, at+": missing", hint)
		return
	}
	p.fail(at, fmt.Sprintf("%s: %q is not known", at, value), hint)
}

func (p *reading) address(at, value string) {
	host, port, err := net.SplitHostPort(value)
	n, perr := strconv.Atoi(port)
	if err != nil || perr != nil || n < 0 || n > 65535 {
		p.fail(at, fmt.Sprintf("%s: %q is not an address", at, value), "write host:port, like 127.0.0.1:7420")
	} else if host == "" {
		p.fail(at, fmt.Sprintf("%s: %q names no host", at, value), "write 127.0.0.1"+value+
			" for this machine alone, or 0.0.0.0"+value+" for everybody")
	}
}

func (p *reading) tls(at string, t TLS) {
	if !t.Set() {
		return
	}
	if t.Cert == "" || t.Key == "" {
		p.fail(at, at+": cert and key belong together", "name both PEM files")
		return
	}
	p.exists(at+".cert", t.Cert)
	p.exists(at+".key", t.Key)
}

func (p *reading) secret(at string, s secret.Source) {
	if s.Env != "" && s.File != "" {
		p.fail(at, at+": both env and file", "keep one of them")
	}
}

func (p *reading) exists(at, name string) {
	if info, err := os.Stat(name); err != nil || info.IsDir() {
		p.fail(at, fmt.Sprintf("%s: file %q cannot be read", at, name), "")
	}
}
