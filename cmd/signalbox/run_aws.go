package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/client"
)

// awsKept are the variables of AWS's tools that lead nowhere. All others that
// begin with AWS_ are taken out beside an AWS gate: they hold credentials, or
// name files, profiles and endpoints that lead around the gate, and new ones
// are invented every year.
var awsKept = []string{
	"AWS_PAGER", "AWS_DEFAULT_OUTPUT", "AWS_CLI_AUTO_PROMPT", "AWS_CLI_FILE_ENCODING", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE",
	"AWS_DEFAULTS_MODE", "AWS_SDK_UA_APP_ID", "AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION",
	"AWS_DISABLE_REQUEST_COMPRESSION", "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES",
}

// leadsAroundAWS reports whether a variable of the caller must not reach a
// command whose tools are to use a gate for AWS.
func leadsAroundAWS(name string) bool {
	name = strings.ToUpper(name)
	return name == "BOTO_CONFIG" || strings.HasPrefix(name, "AWS_") && !slices.Contains(awsKept, name)
}

// accessKey is the access key id of a session at a gate for AWS.
func accessKey(o client.OpenedSession) string {
	return "SBXA" + strings.ToUpper(string(o.Session.ID))
}

// awsEnvironment writes shared files of AWS's tools with a profile for each gate
// and gives the variables that lead to them; with one gate alone, those that
// lead tools there that read no profile.
func (p *program) awsEnvironment(gates []gateAccess, folder string) (map[string]string, error) {
	if len(gates) == 0 {
		return nil, nil
	}
	var config, credentials strings.Builder
	profile := func(section, name string, g gateAccess) {
		fmt.Fprintf(&config, "[%s]\nregion = %s\nendpoint_url = %s\n", section, g.Region, g.URL)
		if g.CAFile != "system" {
			fmt.Fprintf(&config, "ca_bundle = %s\n", g.CAFile)
		}
		// Buckets stand in the path, so that no name but the gate's is looked up.
		config.WriteString("s3 =\n  addressing_style = path\n\n")
		fmt.Fprintf(&credentials, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n\n", name, g.User, g.Password)
	}
	env := map[string]string{
		"AWS_CONFIG_FILE":             filepath.Join(folder, "aws-config"),
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(folder, "aws-credentials"),
		"AWS_EC2_METADATA_DISABLED":   "true",
	}
	if len(gates) == 1 {
		g := gates[0]
		profile("default", "default", g)
		env["AWS_ENDPOINT_URL"] = g.URL
		env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"] = g.User, g.Password
		env["AWS_REGION"], env["AWS_DEFAULT_REGION"] = g.Region, g.Region
	} else {
		fmt.Fprintln(p.stderr, "signalbox: there are several AWS gates: choose one with --gate, or with --profile NAME (AWS_PROFILE)")
	}
	bundle, err := bundleOf(gates)
	if err != nil {
		return nil, err
	}
	if bundle != "" {
		env["AWS_CA_BUNDLE"] = filepath.Join(folder, "aws-ca.pem")
		if err := os.WriteFile(env["AWS_CA_BUNDLE"], []byte(bundle), 0o644); err != nil {
			return nil, err
		}
	}
	for _, g := range gates {
		profile("profile "+g.Name, g.Name, g)
	}
	if err := os.WriteFile(env["AWS_CONFIG_FILE"], []byte(config.String()), 0o600); err != nil {
		return nil, err
	}
	return env, os.WriteFile(env["AWS_SHARED_CREDENTIALS_FILE"], []byte(credentials.String()), 0o600)
}

// bundleOf joins the authorities of the gates; "" when nobody knows of any but
// the system's own.
func bundleOf(gates []gateAccess) (string, error) {
	var b strings.Builder
	var seen []string
	for _, g := range gates {
		if g.CAFile == "system" || slices.Contains(seen, g.CAFile) {
			continue
		}
		seen = append(seen, g.CAFile)
		pem, err := os.ReadFile(g.CAFile)
		if err != nil {
			return "", err
		}
		b.Write(pem)
		b.WriteByte('\n')
	}
	return b.String(), nil
}
