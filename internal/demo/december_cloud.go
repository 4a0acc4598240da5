package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/signalbox-dev/signalbox/internal/demo/standin"
	awsgate "github.com/signalbox-dev/signalbox/internal/gate/aws"
	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// newCloud makes a stand-in cloud in which the cost explorer has been in
// production for a day.
func newCloud(ctx context.Context) (*standin.Cloud, error) {
	cloud, err := standin.Start(standin.Config{Hour: hour})
	if err != nil {
		return nil, err
	}
	if err := furnishCloud(ctx, cloud); err != nil {
		cloud.Close()
		return nil, fmt.Errorf("furnish the stand-in cloud: %w", err)
	}
	cloud.Pass(24 * time.Hour)
	return cloud, nil
}

func furnishCloud(ctx context.Context, cloud *standin.Cloud) error {
	at := aws.Config{
		Region: standin.Region, BaseEndpoint: aws.String(cloud.URL()),
		Credentials: credentials.NewStaticCredentialsProvider(cloud.AccessKeyID, cloud.SecretAccessKey, ""),
	}
	objects, stacks := s3.NewFromConfig(at), cloudformation.NewFromConfig(at)
	bucket := aws.String(stackName + "-data")
	if _, err := objects.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket}); err != nil {
		return err
	}
	for key, body := range map[string]string{"backup/usage.json": usage(),
		"templates/cost-explorer.json": decemberTemplate} {
		if _, err := objects.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key,
			Body: strings.NewReader(body)}); err != nil {
			return err
		}
	}
	_, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: aws.String(stackName), TemplateBody: &decemberTemplate,
		Capabilities: []types.Capability{types.CapabilityCapabilityIam},
	})
	return err
}

// usage gives what the customers used on each of thirty days: half a cent too
// much for whoever rounds down.
func usage() string {
	var b strings.Builder
	for customer := range numberOfCustomers {
		for day := range 30 {
			line, err := json.Marshal(standin.Usage{Customer: customer + 1, Day: day + 1, Mills: 9_995})
			if err != nil {
				panic(err) // numbers
			}
			b.Write(append(line, '\n'))
		}
	}
	return b.String()
}

// environment is what the agent's process gets: where the cloud is and who it
// is there, and nothing of ours.
func (d *december) environment(endpoint, id, secret string, more ...string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "AWS_") && !strings.HasPrefix(e, "SIGNALBOX_") {
			env = append(env, e)
		}
	}
	return append(append(env,
		"AWS_ENDPOINT_URL="+endpoint, "AWS_REGION="+standin.Region, "AWS_ACCESS_KEY_ID="+id, "AWS_SECRET_ACCESS_KEY="+
			secret,
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"COST_SERVICE="+d.cloud.ServiceURL(), "COST_STACK="+stackName), more...)
}

// gateConfig is the gate before the cloud, with the real credential.
func (d *december) gateConfig() (config.Gate, error) {
	file := filepath.Join(d.folder, "cloud.secret")
	return config.Gate{
		Name: "cloud", Kind: "aws", Environment: "production", Listen: "127.0.0.1:0",
		Settings: &awsgate.Settings{Upstream: awsgate.Account{
			Account: standin.Account, Region: standin.Region, Endpoint: d.cloud.URL(),
			Credentials: awsgate.Key{AccessKeyID: d.cloud.AccessKeyID, SecretAccessKey: secret.Source{File: file}},
		}},
	}, os.WriteFile(file, []byte(d.cloud.SecretAccessKey), 0o600)
}

// key is the session's own at the gate.
func (d *december) key() (id, secret string) {
	return "SBXA" + strings.ToUpper(string(d.session.Session.ID)), d.session.Credentials[d.gate.Name]
}

// endpoint is the gate's address.
func (d *december) endpoint() string { return fmt.Sprintf("https://%s:%d", d.gate.Host, d.gate.Port) }

// agentEnv is what the agent's process gets of `signalbox run`.
func (d *december) agentEnv() []string {
	id, secret := d.key()
	return d.environment(d.endpoint(), id, secret, "AWS_CA_BUNDLE="+d.root)
}

// ask has the agent do something in a process of its own, and tells of it line
// by line as it comes. It gives the agent's exit code.
func (d *december) ask(ctx context.Context, s *Step, task string, env []string) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*patience, errPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.program[0], append(d.program[1:], task)...)
	cmd.Env, cmd.WaitDelay = env, 2*time.Second
	var complaints diagnostics
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the agent: %w", err)
	}
	d.last = ""
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var l said
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			l.Did = lines.Text()
		}
		if l.Thinks != "" {
			d.line(s, "kiro thinks", l.Thinks, "")
			continue
		}
		d.last = l.Did + ": " + l.Answer
		d.line(s, "kiro", l.Did, l.Answer)
	}
	a, err := outcome(ctx, cmd, nil, cmd.Wait())
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, complaints.last(5))
	}
	return a.code, nil
}
