package aws

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/gate"
	"github.com/signalbox-dev/signalbox/internal/secret"
)

// Kind is the kind of gates for AWS.
var Kind = gate.Kind{
	Name:       "aws",
	Title:      "AWS",
	Settings:   func() gate.Settings { return new(Settings) },
	Subdomains: true, // buckets
	Login:      login,
	Text:       text,
	Variables:  variables,
	Choose:     "with --profile NAME (AWS_PROFILE)",
	Leaks:      leaks,
	Harmless:   harmless,
	Explain:    reader,
}

// Settings are what a gate for AWS is told besides what all gates are.
type Settings struct {
	// Upstream is the account, with the credentials that only the gate knows.
	Upstream Account `yaml:"upstream"`
}

// An Account is an AWS account behind a gate.
type Account struct {
	// Account is its number, twelve digits.
	Account string `yaml:"account"`
	// Region is where clients work that name no other, and where the gate
	// assumes roles.
	Region string `yaml:"region"`
	// Credentials are the gate's own at AWS. Default the SDK's chain: environment
	// variables, shared files, web identity, container, instance.
	Credentials Key `yaml:"credentials"`
	// Endpoint is the URL of all services, for an emulator or a private
	// endpoint. Default AWS's own.
	Endpoint string `yaml:"endpoint"`
	// Endpoints are the URLs of single services, by their endpoint prefix or
	// signing name.
	Endpoints map[string]string `yaml:"endpoints"`
	// Accounts are further ones whose roles may be assumed. They count as the
	// gate's environment.
	Accounts []string `yaml:"accounts"`
	// Unsigned are operations that by design carry no signature, and may be
	// called with the session's credential as a bearer token.
	Unsigned []string `yaml:"unsigned"`
	// CA is a PEM file with the authorities that endpoints' certificates are checked
	// against. Default those of the system.
	CA gate.File `yaml:"ca"`
}

// A Key says as whom a gate acts at AWS: a profile of the shared files, or an
// access key. The zero value is the SDK's default chain.
type Key struct {
	Profile         string        `yaml:"profile"`
	AccessKeyID     string        `yaml:"access_key_id"`
	SecretAccessKey secret.Source `yaml:"secret_access_key"`
}

var _ gate.Settings = (*Settings)(nil)

// Defaults implements [gate.Settings]. There are none.
func (s *Settings) Defaults() {}

var regionName = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]+$`)

// Check implements [gate.Settings].
func (s *Settings) Check(r gate.Report) {
	u := s.Upstream
	if !twelveDigits.MatchString(u.Account) {
		r.Problem("upstream.account", fmt.Sprintf("%q has not twelve digits", u.Account),
			`write the number of the account in quotes: "123456789012"`)
	}
	if !regionName.MatchString(u.Region) {
		r.Problem("upstream.region", fmt.Sprintf("%q is no region", u.Region), "write it like eu-central-1")
	}
	for i, a := range u.Accounts {
		if !twelveDigits.MatchString(a) {
			r.Problem(fmt.Sprintf("upstream.accounts[%d]", i), fmt.Sprintf("%q has not twelve digits", a), "")
		}
	}
	for i, o := range u.Unsigned {
		if service, operation, ok := strings.Cut(o, ":"); !ok || service == "" || operation == "" {
			r.Problem(fmt.Sprintf("upstream.unsigned[%d]", i), fmt.Sprintf("%q is no operation", o),
				"write it like cognito-idp:InitiateAuth")
		}
	}
	if u.Endpoint != "" {
		checkEndpoint(r, "upstream.endpoint", u.Endpoint)
	}
	for service, e := range u.Endpoints {
		if e != "" {
			checkEndpoint(r, "upstream.endpoints."+service, e)
		}
	}
	switch c := u.Credentials; {
	case c.Profile != "" && (c.AccessKeyID != "" || c.SecretAccessKey.Set()):
		r.Problem("upstream.credentials", "both a profile and an access key", "keep one of them")
	case (c.AccessKeyID != "") != c.SecretAccessKey.Set():
		r.Problem("upstream.credentials", "access_key_id and secret_access_key belong together", "")
	}
}

func checkEndpoint(r gate.Report, key, value string) {
	if validEndpoint(value) != nil {
		r.Problem(key, fmt.Sprintf("%q is no endpoint", value),
			"write it like https://vpce-1234.s3.eu-central-1.vpce.amazonaws.com")
	}
}

// Target implements [gate.Settings].
func (s *Settings) Target() string { return "aws://" + s.Upstream.Account }

// Tell implements [gate.Settings].
func (s *Settings) Tell(a *gate.Access) { a.Region = s.Upstream.Region }

// Open implements [gate.Settings].
func (s *Settings) Open(c gate.Config) (gate.Gate, error) {
	u := s.Upstream
	up := Upstream{
		Account: u.Account, Region: u.Region,
		Credentials: Credentials{Profile: u.Credentials.Profile, AccessKeyID: u.Credentials.AccessKeyID},
		Endpoint:    u.Endpoint, Endpoints: u.Endpoints, Accounts: u.Accounts, Unsigned: u.Unsigned,
		RootCA: string(u.CA),
	}
	if key := u.Credentials.SecretAccessKey; key.Set() {
		var err error
		if up.Credentials.SecretAccessKey, err = key.Read(); err != nil {
			return nil, fmt.Errorf("secret access key: %w", err)
		}
	}
	return New(Config{Config: c, Upstream: up})
}
