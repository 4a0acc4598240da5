package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signalbox-dev/signalbox/client"
)

// accessKey is the access key id of a session at a gate for AWS.
func accessKey(o client.OpenedSession) string {
	return "SBXA" + strings.ToUpper(string(o.Session.ID))
}

// awsVariables writes shared files of AWS's tools with a profile for each gate
// and gives the variables that lead to them; with one gate alone, those that
// lead tools there that read no profile. The file of credentials is left out
// where files may not hold any: then profiles have none.
func (p *program) awsVariables(gates []gateAccess, folder string, inFiles bool) ([]variable, error) {
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
	vars := []variable{{"AWS_CONFIG_FILE", filepath.Join(folder, "aws-config")}, {"AWS_EC2_METADATA_DISABLED", "true"}}
	if len(gates) == 1 {
		g := gates[0]
		profile("default", "default", g)
		vars = append(vars, variable{"AWS_ENDPOINT_URL", g.URL}, variable{"AWS_REGION", g.Region}, variable{"AWS_DEFAULT_REGION", g.Region},
			variable{"AWS_ACCESS_KEY_ID", g.User}, variable{"AWS_SECRET_ACCESS_KEY", g.Password})
	} else {
		how := "or read SIGNALBOX_GATES"
		if inFiles {
			how = "or with --profile NAME (AWS_PROFILE)"
		}
		fmt.Fprintln(p.stderr, "signalbox: there are several AWS gates: choose one with --gate, "+how)
	}
	bundle, err := bundleOf(gates)
	if err != nil {
		return nil, err
	}
	if bundle != "" {
		file := filepath.Join(folder, "aws-ca.pem")
		vars = append(vars, variable{"AWS_CA_BUNDLE", file})
		if err := os.WriteFile(file, []byte(bundle), 0o644); err != nil {
			return nil, err
		}
	}
	for _, g := range gates {
		profile("profile "+g.Name, g.Name, g)
	}
	if err := os.WriteFile(filepath.Join(folder, "aws-config"), []byte(config.String()), 0o600); err != nil {
		return nil, err
	}
	if !inFiles {
		// Set all the same: the caller's own file would lead around the gate.
		return append(vars, variable{"AWS_SHARED_CREDENTIALS_FILE", os.DevNull}), nil
	}
	file := filepath.Join(folder, "aws-credentials")
	return append(vars, variable{"AWS_SHARED_CREDENTIALS_FILE", file}), os.WriteFile(file, []byte(credentials.String()), 0o600)
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
