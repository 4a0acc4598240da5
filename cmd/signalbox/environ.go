package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/internal/gate"
)

// What a command in a session gets of its caller's environment, and what it gets
// of the session's. `run` sets it; `session start --env` prints the second part.

// leaks are known credentials of what no gate is for, and ways around all gates. Each
// kind of gate adds its own.
var leaks = []gate.Leak{
	{Name: "SIGNALBOX_*", Reason: "your own token, and where it is kept"},
	{Name: "DATABASE_URL", Reason: "an address of a database with its password, by convention"},
	{Name: "MYSQL_PWD", Reason: "a password of MySQL"},
	{Name: "REDISCLI_AUTH", Reason: "a password of Redis"},
	{Name: "GOOGLE_APPLICATION_CREDENTIALS", Reason: "a file with credentials of Google Cloud"},
	{Name: "GOOGLE_CREDENTIALS", Reason: "credentials of Google Cloud"},
	{Name: "GOOGLE_OAUTH_ACCESS_TOKEN", Reason: "a token of Google Cloud"},
	{Name: "CLOUDSDK_*", Reason: "credentials and configuration of Google Cloud's tools"},
	{Name: "AZURE_*", Reason: "credentials of Azure"},
	{Name: "ARM_*", Reason: "credentials of Azure, for Terraform"},
	{Name: "KUBECONFIG", Reason: "a file with credentials of Kubernetes clusters"},
	{Name: "VAULT_TOKEN", Reason: "a token of Vault, which gives out others"},
	{Name: "CONSUL_HTTP_TOKEN", Reason: "a token of Consul"},
	{Name: "NOMAD_TOKEN", Reason: "a token of Nomad, which runs anything"},
	{Name: "TF_TOKEN_*", Reason: "tokens of Terraform's registries and of HCP Terraform"},
	{Name: "GITHUB_TOKEN", Reason: "a token of GitHub: pipelines deploy what is pushed"},
	{Name: "GH_TOKEN", Reason: "a token of GitHub"},
	{Name: "GH_ENTERPRISE_TOKEN", Reason: "a token of GitHub"},
	{Name: "GITHUB_ENTERPRISE_TOKEN", Reason: "a token of GitHub"},
	{Name: "GITLAB_TOKEN", Reason: "a token of GitLab"},
	{Name: "CI_JOB_TOKEN", Reason: "a token of GitLab"},
	{Name: "ACTIONS_ID_TOKEN_REQUEST_TOKEN", Reason: "asks GitHub for identities that clouds accept"},
	{Name: "ACTIONS_ID_TOKEN_REQUEST_URL", Reason: "asks GitHub for identities that clouds accept"},
	{Name: "NPM_TOKEN", Reason: "a token that publishes packages"},
	{Name: "NODE_AUTH_TOKEN", Reason: "a token that publishes packages"},
	{Name: "DOCKER_HOST", Reason: "another machine's container engine, which is root there"},
	{Name: "DOCKER_AUTH_CONFIG", Reason: "credentials of container registries"},
	{Name: "SSH_AUTH_SOCK", Reason: "your SSH agent, which logs in wherever you can"},
	{Name: "SSH_AGENT_PID", Reason: "your SSH agent"},
	{Name: "SSH_ASKPASS", Reason: "a program that gives out passwords"},
	{Name: "GIT_ASKPASS", Reason: "a program that gives out passwords"},
	{Name: "KRB5CCNAME", Reason: "your Kerberos tickets"},
	{Name: "OP_SERVICE_ACCOUNT_TOKEN", Reason: "a token of 1Password"},
	{Name: "DIGITALOCEAN_ACCESS_TOKEN", Reason: "a token of DigitalOcean"},
	{Name: "CLOUDFLARE_API_TOKEN", Reason: "a token of Cloudflare"},
	{Name: "CLOUDFLARE_API_KEY", Reason: "a key of Cloudflare"},
	{Name: "HCLOUD_TOKEN", Reason: "a token of Hetzner"},
	{Name: "HEROKU_API_KEY", Reason: "a key of Heroku"},
	{Name: "FLY_API_TOKEN", Reason: "a token of Fly"},
	{Name: "SSLKEYLOGFILE", Reason: "has the keys of TLS connections written to a file, the session's password with them"},
}

// leaking reports why a variable of the caller must not reach the command: "" if
// it may. secrets are the names of variables that the server reads secrets from.
// Upper and lower case are one: some tools and systems read both.
func (p *program) leaking(name, value string, secrets []string) string {
	if slices.Contains(secrets, name) {
		return "a secret of the server's own"
	}
	if reason := leakingBy(leaks, nil, name, value); reason != "" {
		return reason
	}
	for _, k := range p.kinds {
		if reason := leakingBy(k.Leaks, k.Harmless, name, value); reason != "" {
			return reason
		}
	}
	return ""
}

func leakingBy(leaks []gate.Leak, harmless []string, name, value string) string {
	upper := strings.ToUpper(name)
	for _, l := range leaks {
		family, whole := strings.CutSuffix(l.Name, "*")
		named := l.Name != "" && upper == l.Name || whole && strings.HasPrefix(upper, family)
		if named && !slices.Contains(harmless, upper) || l.Value != "" && strings.HasPrefix(value, l.Value) {
			return l.Reason
		}
	}
	return ""
}

// A variable is what a session's command gets in its environment.
type variable struct{ name, value string }

// environment is the command's: the caller's without what leaks, and the
// session's. It names what was taken out. What is in keep stays, but nothing
// stands in the way of what the session sets.
func (p *program) environment(caller []string, session []variable, secrets, keep []string) (env, removed []string) {
	for _, v := range caller {
		name, value, _ := strings.Cut(v, "=")
		if slices.ContainsFunc(session, func(s variable) bool { return s.name == name }) {
			continue
		}
		if p.leaking(name, value, secrets) != "" && !slices.Contains(keep, name) {
			if !strings.HasPrefix(name, "SIGNALBOX_") {
				removed = append(removed, name)
			}
			continue
		}
		env = append(env, v)
	}
	for _, s := range session {
		env = append(env, s.name+"="+s.value)
	}
	slices.Sort(removed)
	return env, removed
}

// variables are what leads a command to the gates. Authorities and the like stand
// in files of the folder.
func (p *program) variables(server string, gates []gate.Access, o client.OpenedSession,
	f gate.Folder) ([]variable, error) {
	var list strings.Builder
	if err := writeJSON(&list, gates, ""); err != nil {
		return nil, err
	}
	out := []variable{
		{"SIGNALBOX_SERVER", server},
		{"SIGNALBOX_SESSION", string(o.Session.ID)},
		{"SIGNALBOX_TOKEN", o.Credentials["api"]},
		{"SIGNALBOX_GATES", strings.TrimSpace(list.String())},
	}
	if len(gates) == 0 {
		fmt.Fprintln(p.stderr, "signalbox: no gate is open for this session")
	}
	for _, k := range p.kinds {
		own := slices.DeleteFunc(slices.Clone(gates), func(g gate.Access) bool { return g.Kind != k.Name })
		if len(own) == 0 {
			continue
		}
		if len(own) > 1 {
			how := "or read SIGNALBOX_GATES"
			if k.Choose != "" && f.Secrets {
				how = "or " + k.Choose
			}
			fmt.Fprintf(p.stderr, "signalbox: there are several %s gates: choose one with --gate, %s\n", k.Title, how)
		}
		vars, err := k.Variables(own, f)
		if err != nil {
			return nil, err
		}
		for _, v := range vars {
			name, value, _ := strings.Cut(v, "=")
			out = append(out, variable{name, value})
		}
	}
	return out, nil
}

// systemCAs is where Debian and its kin keep the authorities of the system.
// libpq before 16 does not know of "system".
const systemCAs = "/etc/ssl/certs/ca-certificates.crt"

// access tells of the gates that the session has credentials for, with their
// authorities in files of the folder; with no folder, as text.
func (p *program) access(gates []client.Gate, o client.OpenedSession, folder string) ([]gate.Access, error) {
	out := []gate.Access{}
	for _, g := range gates {
		password := o.Credentials[g.Name]
		if password == "" {
			continue
		}
		k, err := p.kindOf(g.Name, g.Kind)
		if err != nil {
			return nil, err
		}
		a := gate.Access{
			Name: g.Name, Kind: g.Kind, Environment: g.Environment, Host: g.Host, Port: g.Port, Database: g.Database,
			User: string(o.Session.ID), Password: password, Region: g.Region,
		}
		if k.Login != nil {
			k.Login(&a)
		}
		switch {
		case g.CA != "" && folder == "":
			a.CA = g.CA
		case g.CA != "":
			a.CAFile = filepath.Join(folder, fmt.Sprintf("ca%d.pem", len(out)))
			if err := os.WriteFile(a.CAFile, []byte(g.CA), 0o644); err != nil {
				return nil, err
			}
		default:
			a.CAFile = gate.SystemCAs
			if _, err := os.Stat(systemCAs); err == nil {
				a.CAFile = systemCAs
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// kindOf gives the kind of a gate. A server that is newer than this program may
// have gates that it does not know how to use.
func (p *program) kindOf(name, kind string) (gate.Kind, error) {
	i := slices.IndexFunc(p.kinds, func(k gate.Kind) bool { return k.Name == kind })
	if i < 0 {
		return gate.Kind{}, hinted{fmt.Errorf("gate %q is of kind %q, which this program does not know", name, kind),
			"use a signalbox of the server's version, or name other gates with --gate"}
	}
	return p.kinds[i], nil
}

// usable refuses gates of a kind that is not known, before a session is opened for
// them. With no names all gates are meant.
func (p *program) usable(gates []client.Gate, names []string) error {
	for _, g := range gates {
		if len(names) > 0 && !slices.Contains(names, g.Name) {
			continue
		}
		if _, err := p.kindOf(g.Name, g.Kind); err != nil {
			return err
		}
	}
	return nil
}
