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

// A leak is a variable of the caller that a command must not get.
type leak struct {
	name   string // a * at its end stands for all names that begin so
	reason string
}

// leaks are known credentials and ways around the gates. Of the families that new
// members are invented for every year, all goes but what harmless names.
var leaks = []leak{
	{"SIGNALBOX_*", "your own token, and where it is kept"},
	{"PG*", "credentials of PostgreSQL, and whatever leads its tools elsewhere or makes them somebody else"},
	{"DATABASE_URL", "an address of a database with its password, by convention"},
	{"MYSQL_PWD", "a password of MySQL"},
	{"REDISCLI_AUTH", "a password of Redis"},
	{"AWS_*", "credentials of AWS, and files, profiles and endpoints that lead around the gate"},
	{"BOTO_CONFIG", "a file with credentials of AWS"},
	{"GOOGLE_APPLICATION_CREDENTIALS", "a file with credentials of Google Cloud"},
	{"GOOGLE_CREDENTIALS", "credentials of Google Cloud"},
	{"GOOGLE_OAUTH_ACCESS_TOKEN", "a token of Google Cloud"},
	{"CLOUDSDK_*", "credentials and configuration of Google Cloud's tools"},
	{"AZURE_*", "credentials of Azure"},
	{"ARM_*", "credentials of Azure, for Terraform"},
	{"KUBECONFIG", "a file with credentials of Kubernetes clusters"},
	{"VAULT_TOKEN", "a token of Vault, which gives out others"},
	{"CONSUL_HTTP_TOKEN", "a token of Consul"},
	{"NOMAD_TOKEN", "a token of Nomad, which runs anything"},
	{"TF_TOKEN_*", "tokens of Terraform's registries and of HCP Terraform"},
	{"GITHUB_TOKEN", "a token of GitHub: pipelines deploy what is pushed"},
	{"GH_TOKEN", "a token of GitHub"},
	{"GH_ENTERPRISE_TOKEN", "a token of GitHub"},
	{"GITHUB_ENTERPRISE_TOKEN", "a token of GitHub"},
	{"GITLAB_TOKEN", "a token of GitLab"},
	{"CI_JOB_TOKEN", "a token of GitLab"},
	{"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "asks GitHub for identities that clouds accept"},
	{"ACTIONS_ID_TOKEN_REQUEST_URL", "asks GitHub for identities that clouds accept"},
	{"NPM_TOKEN", "a token that publishes packages"},
	{"NODE_AUTH_TOKEN", "a token that publishes packages"},
	{"DOCKER_HOST", "another machine's container engine, which is root there"},
	{"DOCKER_AUTH_CONFIG", "credentials of container registries"},
	{"SSH_AUTH_SOCK", "your SSH agent, which logs in wherever you can"},
	{"SSH_AGENT_PID", "your SSH agent"},
	{"SSH_ASKPASS", "a program that gives out passwords"},
	{"GIT_ASKPASS", "a program that gives out passwords"},
	{"KRB5CCNAME", "your Kerberos tickets"},
	{"OP_SERVICE_ACCOUNT_TOKEN", "a token of 1Password"},
	{"DIGITALOCEAN_ACCESS_TOKEN", "a token of DigitalOcean"},
	{"CLOUDFLARE_API_TOKEN", "a token of Cloudflare"},
	{"CLOUDFLARE_API_KEY", "a key of Cloudflare"},
	{"HCLOUD_TOKEN", "a token of Hetzner"},
	{"HEROKU_API_KEY", "a key of Heroku"},
	{"FLY_API_TOKEN", "a token of Fly"},
	{"SSLKEYLOGFILE", "has the keys of TLS connections written to a file, the session's password with them"},
}

// harmless are members of the families above that lead nowhere.
var harmless = []string{
	"PGTZ", "PGDATESTYLE", "PGCLIENTENCODING", "PGAPPNAME", "PGCONNECT_TIMEOUT", "PGLOCALEDIR", "PG_COLOR", "PG_COLORS",
	"AWS_PAGER", "AWS_DEFAULT_OUTPUT", "AWS_CLI_AUTO_PROMPT", "AWS_CLI_FILE_ENCODING", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE",
	"AWS_DEFAULTS_MODE", "AWS_SDK_UA_APP_ID", "AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION",
	"AWS_DISABLE_REQUEST_COMPRESSION", "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES",
}

// leaking reports why a variable of the caller must not reach the command: "" if
// it may. secrets are the names of variables that the server reads secrets from.
// Upper and lower case are one: some tools and systems read both.
func leaking(name, value string, secrets []string) string {
	if slices.Contains(secrets, name) {
		return "a secret of the server's own"
	}
	upper := strings.ToUpper(name)
	if !slices.Contains(harmless, upper) {
		for _, l := range leaks {
			family, whole := strings.CutSuffix(l.name, "*")
			if upper == l.name || whole && strings.HasPrefix(upper, family) {
				return l.reason
			}
		}
	}
	if strings.HasPrefix(value, "postgres://") || strings.HasPrefix(value, "postgresql://") {
		return "an address of a database"
	}
	return ""
}

// A variable is what a session's command gets in its environment.
type variable struct{ name, value string }

// environment is the command's: the caller's without what leaks, and the
// session's. It names what was taken out. What is in keep stays, but nothing
// stands in the way of what the session sets.
func environment(caller []string, session []variable, secrets, keep []string) (env, removed []string) {
	for _, v := range caller {
		name, value, _ := strings.Cut(v, "=")
		if slices.ContainsFunc(session, func(s variable) bool { return s.name == name }) {
			continue
		}
		if leaking(name, value, secrets) != "" && !slices.Contains(keep, name) {
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
func (p *program) variables(server string, gates []gate.Access, o client.OpenedSession, f gate.Folder) ([]variable, error) {
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
