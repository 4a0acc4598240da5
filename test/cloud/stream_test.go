//go:build linux

package cloud_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/signalbox-dev/signalbox"
	awsgate "github.com/signalbox-dev/signalbox/internal/gate/aws"
	"github.com/signalbox-dev/signalbox/internal/server"
	"github.com/signalbox-dev/signalbox/internal/server/config"
	"github.com/signalbox-dev/signalbox/test/awstest"
)

var streamSize = flag.Int64("stream", 512<<20,
	"bytes that TestStreamsInBoundedMemory sends and gets back; twice as much on disk")

const (
	partSize = 64 << 20
	// memory is what the gate's process may need, whatever the size.
	memory = 256 << 20
)

// A large object goes up in parts and comes back in one piece through a gate in
// a process of its own, which does not grow with it.
//
//	go test ./test/cloud -run Streams -args -stream 5368709120
func TestStreamsInBoundedMemory(t *testing.T) {
	h, pid := alone(t)
	s := h.session()
	c, ctx := s3.NewFromConfig(s.sdk(), pathStyle), t.Context()
	bucket, key := aws.String("streams"), aws.String("large")
	_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: bucket})
	h.must(err)
	up, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	h.must(err)
	block := noise(partSize)
	sent := sha256.New()
	var parts []types.CompletedPart
	for left, n := *streamSize, int32(1); left > 0; n++ {
		part := block[:min(left, partSize)]
		copy(part, fmt.Sprintf("part %d", n)) // so that no part is like another
		sent.Write(part)
		p, err := c.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: key, UploadId: up.UploadId,
			PartNumber: aws.Int32(n), Body: bytes.NewReader(part)})
		h.must(err)
		parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(n), ETag: p.ETag,
			ChecksumCRC32: p.ChecksumCRC32})
		left -= int64(len(part))
	}
	_, err = c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: bucket, Key: key,
		UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	h.must(err)
	got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
	h.must(err)
	defer got.Body.Close()
	received := sha256.New()
	n, err := io.Copy(received, got.Body)
	h.must(err)
	if n != *streamSize || !bytes.Equal(received.Sum(nil), sent.Sum(nil)) {
		t.Errorf("%d bytes came back, not the %d that were sent", n, *streamSize)
	}
	peak := peakMemory(t, pid)
	t.Logf("%d MiB up and down; the gate's process needed %d MiB at most", *streamSize>>20, peak>>20)
	if peak > memory {
		t.Errorf("the gate's process needed %d MiB, more than %d", peak>>20, memory>>20)
	}
}

// TestMain lets a test start this program as a server in a process of its own.
func TestMain(m *testing.M) {
	if file := os.Getenv("SIGNALBOX_TEST_SERVER"); file != "" {
		if err := serve(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// childConfig is what a server in a process of its own is told. Settings are those of
// its one gate, since JSON does not say of which kind they are.
type childConfig struct {
	config.Config
	Settings awsgate.Settings
}

// serve runs a server until its standard input ends.
func serve(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var told childConfig
	if err := json.Unmarshal(text, &told); err != nil {
		return err
	}
	told.Gates[0].Settings = &told.Settings
	s, err := server.Start(context.Background(), told.Config,
		slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Println(s.URL(), s.Code())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// alone puts a gate before an S3 server, in a process of its own, and gives
// that process's id.
func alone(t *testing.T) (*house, int) {
	t.Helper()
	behind := awstest.New(t, awstest.S3)
	c := configured(t, signalbox.Development, awsgate.Account{
		Endpoint: behind.URL, Credentials: awsgate.Key{AccessKeyID: behind.AccessKeyID},
	}, behind.SecretAccessKey)
	told := childConfig{c, *c.Gates[0].Settings.(*awsgate.Settings)}
	told.Gates[0].Settings = nil
	text, err := json.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), "SIGNALBOX_TEST_SERVER="+file), t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // ends it, as our own end would
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	var url, code string
	if _, err := fmt.Fscanln(out, &url, &code); err != nil {
		t.Fatalf("the server says nothing: %v", err)
	}
	return inhabited(t, url, code), cmd.Process.Pid
}

// peakMemory is the most memory that a process had resident, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	words := strings.Fields(rest)
	if len(words) == 0 {
		t.Fatalf("no VmHWM in\n%s", text)
	}
	kilobytes, err := strconv.ParseInt(words[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}
