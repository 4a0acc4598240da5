package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signalbox-dev/signalbox"
	"github.com/signalbox-dev/signalbox/client"
	"github.com/signalbox-dev/signalbox/proof"
)

func (p *program) logCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Read, prove and verify the log",
		Long: `Every intent is in the log before it is executed, every outcome after. The log is
public at the server's /log/ (c2sp.org/tlog-tiles); what is hidden in it can be
disclosed field by field. Those who trust nobody here use signalbox-verify.`,
		Example: `  signalbox log tail --follow
  signalbox log show 01K9XB…
  signalbox log proof 01K9XB…
  signalbox log verify --key log.vkey`,
		RunE: group,
	}
	c.AddCommand(p.logShowCommand(), p.logTailCommand(), p.logProofCommand(), p.logVerifyCommand(), p.logKeyCommand())
	return c
}

func (p *program) logShowCommand() *cobra.Command {
	var disclose bool
	c := p.printsData(&cobra.Command{
		Use:   "show ENTRY",
		Short: "Show an entry, by its id or index",
		Long:  "With --disclose it opens the hidden fields too, for administrators.",
		Example: `  signalbox log show 42
  signalbox log show 01K9XB… --disclose --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			e, err := api.Entry(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			var ds []client.Disclosure
			if disclose {
				if ds, err = api.Disclose(cmd.Context(), args[0]); err != nil {
					return err
				}
			}
			if p.json {
				return p.printJSON(struct {
					client.Entry
					Disclosed []client.Disclosure `json:"disclosed,omitempty"`
				}{e, ds})
			}
			return p.showEntry(e, ds)
		},
	})
	c.Flags().BoolVar(&disclose, "disclose", false, "open the hidden fields")
	return c
}

func (p *program) showEntry(e client.Entry, ds []client.Disclosure) error {
	if err := p.fields("entry", fmt.Sprintf("%d  %s", e.Index, e.ID), "type", e.Type, "time", clock(e.Time), "tells",
		e.Text); err != nil {
		return err
	}
	var leaf bytes.Buffer
	if err := json.Indent(&leaf, e.Entry, "", "  "); err != nil {
		return fmt.Errorf("entry %d: %w", e.Index, err)
	}
	var b strings.Builder
	b.WriteString("\n" + p.bold("In the log") + "\n" + quoted(leaf.String()))
	for _, d := range ds {
		text := string(d.Value)
		var s string
		if json.Unmarshal(d.Value, &s) == nil {
			text = s
		}
		fmt.Fprintf(&b, "\n%s\n%s", p.bold("Hidden in it: "+signalbox.Visible(d.Name)), quoted(text))
	}
	_, err := p.stdout.Write([]byte(b.String()))
	return err
}

func (p *program) logTailCommand() *cobra.Command {
	var follow bool
	var n int
	c := p.printsData(&cobra.Command{
		Use:   "tail",
		Short: "Show the newest entries, and those to come",
		Example: `  signalbox log tail
  signalbox log tail -n 100 --json          one entry a line
  signalbox log tail --follow`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n < 0 || n > 1000 {
				return usage("-n %d: from 0 to 1000", n)
			}
			api, err := p.client()
			if err != nil {
				return err
			}
			return p.tail(cmd.Context(), api, n, follow)
		},
	})
	c.Flags().IntVarP(&n, "lines", "n", 20, "how many to begin with")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	return c
}

func (p *program) tail(ctx context.Context, api *client.Client, n int, follow bool) error {
	head, err := api.LogHead(ctx)
	if err != nil {
		return err
	}
	next := max(head.Size-int64(n), 0)
	for {
		es, err := api.Entries(ctx, next, 1000)
		if err != nil {
			if ctx.Err() != nil {
				return nil // interrupted: that is how following ends
			}
			return err
		}
		for _, e := range es {
			if err := p.printEntry(e); err != nil {
				return err
			}
			next = e.Index + 1
		}
		if len(es) == 1000 {
			continue
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (p *program) printEntry(e client.Entry) error {
	if p.json {
		return writeJSON(p.stdout, e, "")
	}
	_, err := fmt.Fprintf(p.stdout, "%6d  %s  %-16s %s\n", e.Index, clock(e.Time), e.Type, signalbox.Visible(e.Text))
	return err
}

func (p *program) logProofCommand() *cobra.Command {
	var folder string
	c := p.printsData(&cobra.Command{
		Use:   "proof ENTRY",
		Short: "Write the proof that an entry is in the log",
		Long: `It writes two files, the entry's bytes and a c2sp.org/tlog-proof, which prove the
entry offline to anybody who has the log's key.`,
		Example: `  signalbox log proof 01K9XB… --to ./evidence
  signalbox-verify proof 01K9XB….json 01K9XB….tlog-proof --key log.vkey`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			e, err := api.Entry(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			pr, err := api.Proof(cmd.Context(), strconv.FormatInt(e.Index, 10))
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(pr)
			}
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
			root, err := os.OpenRoot(folder) // a name from elsewhere leads nowhere else
			if err != nil {
				return err
			}
			defer root.Close()
			if err := root.WriteFile(e.ID+".json", pr.Leaf, 0o644); err != nil {
				return err
			}
			if err := root.WriteFile(e.ID+".tlog-proof", []byte(pr.Proof), 0o644); err != nil {
				return err
			}
			leaf, note := filepath.Join(folder, e.ID+".json"), filepath.Join(folder, e.ID+".tlog-proof")
			return p.say("%s and %s prove entry %d. Verify with:\n  signalbox-verify proof %s %s --key log.vkey",
				leaf, note, e.Index, leaf, note)
		},
	})
	c.Flags().StringVar(&folder, "to", ".", "folder to write into")
	return c
}

func (p *program) logVerifyCommand() *cobra.Command {
	var key string
	c := p.printsData(&cobra.Command{
		Use:   "verify [FOLDER|URL]",
		Short: "Verify a whole log: signatures, every entry, every hash, the promises",
		Long: `It reads the log once, from a copy or from its address (default that of the
server). A key that you were given by other ways proves the most; without --key
the server's own word is taken for it.`,
		Example: `  signalbox log verify
  signalbox log verify ./signalbox-data/log --key log.vkey
  signalbox log verify https://signalbox.example.com/log/ --key log.vkey`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			trust, src, err := p.trusted(cmd.Context(), args, key)
			if err != nil {
				return err
			}
			r, err := proof.VerifyLog(cmd.Context(), src, trust, proof.Options{})
			if err != nil {
				return fmt.Errorf("log not verified: %w", err)
			}
			if p.json {
				err = p.printJSON(r)
			} else {
				err = p.showReport(r)
			}
			if err == nil && !r.OK() {
				err = fmt.Errorf("the log is authentic, but %d of its entries break a promise", r.Violations)
			}
			return err
		},
	})
	c.Flags().StringVar(&key, "key", "", "the log's verifier key or a witness policy, or a file with it")
	return c
}

// trusted gives the key to verify with, and the log.
func (p *program) trusted(ctx context.Context, args []string, key string) (proof.Trust, proof.Source, error) {
	where, hc := "", (*http.Client)(nil)
	if len(args) > 0 {
		where = args[0]
	}
	if key == "" || where == "" {
		api, err := p.client()
		if err != nil {
			if key == "" {
				return nil, nil, hinted{errors.New("no key to verify with"),
					"give the log's key with --key (signalbox log key prints it)"}
			}
			return nil, nil, err
		}
		if where == "" {
			where, hc = api.URL()+"/log/", api.HTTP()
		}
		if key == "" {
			head, err := api.LogHead(ctx)
			if err != nil {
				return nil, nil, err
			}
			key = head.Verifier
			fmt.Fprintf(p.stderr, "Key as the server itself gives it: %s\n", signalbox.Visible(key))
		}
	}
	if data, err := os.ReadFile(key); err == nil {
		key = string(data)
	}
	trust, err := proof.ParseKey(key, "")
	if err != nil {
		return nil, nil, fmt.Errorf("--key: %w", err)
	}
	src, err := source(where, hc)
	return trust, src, err
}

// source opens a log by its address or its folder.
func source(where string, hc *http.Client) (proof.Source, error) {
	if strings.HasPrefix(where, "http://") || strings.HasPrefix(where, "https://") {
		return proof.Site(where, hc)
	}
	info, err := os.Stat(where)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%q is neither a folder nor an address", where)
	}
	return proof.Folder(os.DirFS(where)), nil
}

func (p *program) showReport(r proof.Report) error {
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(r.Entries)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", r.Entries[k], k))
	}
	err := p.fields("log", r.Origin, "entries", fmt.Sprintf("%d: %s", r.Size, strings.Join(kinds, ", ")), "root",
		r.Root,
		"time", clock(r.First)+" to "+clock(r.Last),
		"verified", fmt.Sprintf("signatures, %d bundles, %d tiles, the root", r.Bundles, r.Tiles),
		"unknown", fmt.Sprintf("%d outcomes", r.Unknown), "open",
		fmt.Sprintf("%d intents without an outcome", r.OpenCount),
		"findings", fmt.Sprintf("%d violations, %d warnings", r.Violations, r.Warnings))
	if err != nil {
		return err
	}
	for _, f := range r.Findings {
		if err := p.say("  %s", signalbox.Visible(f.String())); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) logKeyCommand() *cobra.Command {
	return p.printsData(&cobra.Command{
		Use:   "key",
		Short: "Print the log's public key, to hand to auditors",
		Example: `  signalbox log key > log.vkey
  signalbox-verify log https://signalbox.example.com/log/ --key log.vkey`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.client()
			if err != nil {
				return err
			}
			head, err := api.LogHead(cmd.Context())
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(head)
			}
			return p.say("%s", signalbox.Visible(head.Verifier))
		},
	})
}
