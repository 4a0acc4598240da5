package aws

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/signalbox-dev/signalbox/internal/gate"
)

// login gives the access key of a session and the gate's URL, which is all that
// AWS's tools want to know of an endpoint.
func login(a *gate.Access) {
	a.User, a.URL = sessionKey+strings.ToUpper(a.User), "https://"+net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

func text(a gate.Access) string {
	return fmt.Sprintf("%s region %s access key id %s secret access key %s", a.URL, a.Region, a.User, a.Password)
}

// variables writes shared files of AWS's tools with a profile for each gate
// and gives the variables that lead to them; with one gate alone, those that
// lead tools there that read no profile. The file of credentials is left out
// where files may not hold any: then profiles have none.
func variables(gates []gate.Access, f gate.Folder) ([]string, error) {
	var config, credentials strings.Builder
	profile := func(section, name string, g gate.Access) {
		fmt.Fprintf(&config, "[%s]\nregion = %s\nendpoint_url = %s\n", section, g.Region, g.URL)
		if g.CAFile != gate.SystemCAs {
			fmt.Fprintf(&config, "ca_bundle = %s\n", g.CAFile)
		}
		// Buckets stand in the path, so that no name but the gate's is looked up.
		config.WriteString("s3 =\n  addressing_style = path\n\n")
		fmt.Fprintf(&credentials, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n\n", name, g.User,
			g.Password)
	}
	vars := []string{"AWS_CONFIG_FILE=" + filepath.Join(f.Path, "aws-config"), "AWS_EC2_METADATA_DISABLED=true"}
	if len(gates) == 1 {
		g := gates[0]
		profile("default", "default", g)
		vars = append(vars, "AWS_ENDPOINT_URL="+g.URL, "AWS_REGION="+g.Region, "AWS_DEFAULT_REGION="+g.Region,
			"AWS_ACCESS_KEY_ID="+g.User, "AWS_SECRET_ACCESS_KEY="+g.Password)
	}
	bundle, err := bundleOf(gates)
	if err != nil {
		return nil, err
	}
	if bundle != "" {
		file := filepath.Join(f.Path, "aws-ca.pem")
		vars = append(vars, "AWS_CA_BUNDLE="+file)
		if err := os.WriteFile(file, []byte(bundle), 0o644); err != nil {
			return nil, err
		}
	}
	for _, g := range gates {
		profile("profile "+g.Name, g.Name, g)
	}
	if err := os.WriteFile(filepath.Join(f.Path, "aws-config"), []byte(config.String()), 0o600); err != nil {
		return nil, err
	}
	if !f.Secrets {
		// Set all the same: the caller's own file would lead around the gate.
		return append(vars, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull), nil
	}
	file := filepath.Join(f.Path, "aws-credentials")
	return append(vars, "AWS_SHARED_CREDENTIALS_FILE="+file), os.WriteFile(file, []byte(credentials.String()), 0o600)
}

// bundleOf joins the authorities of the gates; "" when nobody knows of any but
// the system's own.
func bundleOf(gates []gate.Access) (string, error) {
	var b strings.Builder
	var seen []string
	for _, g := range gates {
		if g.CAFile == gate.SystemCAs || slices.Contains(seen, g.CAFile) {
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

// leaks are what AWS's tools read, a family that grows every year.
var leaks = []gate.Leak{
	{Name: "AWS_*", Reason: "credentials of AWS, and files, profiles and endpoints that lead around the gate"},
	{Name: "BOTO_CONFIG", Reason: "a file with credentials of AWS"},
}

var harmless = []string{
	"AWS_PAGER", "AWS_DEFAULT_OUTPUT", "AWS_CLI_AUTO_PROMPT", "AWS_CLI_FILE_ENCODING", "AWS_MAX_ATTEMPTS",
	"AWS_RETRY_MODE",
	"AWS_DEFAULTS_MODE", "AWS_SDK_UA_APP_ID", "AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION",
	"AWS_DISABLE_REQUEST_COMPRESSION", "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES",
}
