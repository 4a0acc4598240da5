package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/signalbox-dev/signalbox/internal/secret"
	"github.com/signalbox-dev/signalbox/internal/server/config"
)

// An authority signs the certificates of gates that were given none, so that
// clients can verify whom they talk to. Its files stand in the data folder.
type authority struct {
	pem  []byte // of the certificate, to hand out
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	gateLife      = 397 * 24 * time.Hour // made anew at each start
)

// openAuthority reads the authority in the folder, or makes it.
func openAuthority(folder string) (*authority, error) {
	name := filepath.Join(folder, "ca.key")
	_, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = makeAuthority(folder)
	}
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	// Key and certificate are one file, so that a crash cannot part them. The
	// certificate is copied to ca.pem for clients at each start.
	data, err := secret.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	a := &authority{}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			a.pem = pem.EncodeToMemory(block)
			a.cert, err = x509.ParseCertificate(block.Bytes)
		case "EC PRIVATE KEY":
			a.key, err = x509.ParseECPrivateKey(block.Bytes)
		}
		if err != nil {
			return nil, fmt.Errorf("certificate authority: file %q: %w", name, err)
		}
	}
	if a.cert == nil || a.key == nil || !a.key.PublicKey.Equal(a.cert.PublicKey) {
		return nil, fmt.Errorf("certificate authority: file %q does not hold a certificate and its key: delete it to make another", name)
	}
	if time.Until(a.cert.NotAfter) < gateLife {
		return nil, fmt.Errorf("certificate authority: file %q expires at %s: delete it to make another, and hand the new ca.pem to clients", name, a.cert.NotAfter.Format(time.DateOnly))
	}
	if err := os.WriteFile(filepath.Join(folder, "ca.pem"), a.pem, 0o644); err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	return a, nil
}

func makeAuthority(folder string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Signalbox gates"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(authorityLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})...)
	return create(filepath.Join(folder, "ca.key"), string(text))
}

// issue makes a certificate for the hosts, and for this machine's own names.
func (a *authority) issue(hosts ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: "Signalbox gate"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(gateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range append(slices.Clone(hosts), "localhost", "127.0.0.1", "::1") {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if h != "" {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key}, nil
}

func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// loadCertificate reads a configured certificate, whose key must be private.
func loadCertificate(t config.TLS) (tls.Certificate, error) {
	cert, err := os.ReadFile(t.Cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := secret.ReadFile(t.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %q with key %q: %w", t.Cert, t.Key, err)
	}
	return pair, nil
}
