// Verifies webhooks of Posthaste, with Go's standard library (1.18 and later).
//
// As a program, for trying it out; exit code 0 is a good signature:
//
//	WEBHOOK_SECRETS='whsec_…' go run receiver.go verify ID TIMESTAMP SIGNATURE < body
package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Quoted in docs/receiving.md: begin

const toleranceSeconds = 300

var seconds = regexp.MustCompile(`^[0-9]{1,12}$`)

// Verify gives an error unless one of the secrets signed this body, and lately.
func Verify(headers http.Header, body []byte, secrets []string, now time.Time) error {
	id, timestamp := headers.Get("webhook-id"), headers.Get("webhook-timestamp")
	if id == "" || strings.Contains(id, ".") || !seconds.MatchString(timestamp) {
		return errors.New("the id or the timestamp is missing, or not of Posthaste's making")
	}
	signedAt, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return err
	}
	if age := now.Unix() - signedAt; age > toleranceSeconds || age < -toleranceSeconds {
		return errors.New("signed too long ago, or ahead of this clock")
	}
	signed := append([]byte(id+"."+timestamp+"."), body...)
	for _, signature := range strings.Split(headers.Get("webhook-signature"), " ") {
		version, encoded, _ := strings.Cut(signature, ",")
		given, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			continue
		}
		for _, secret := range secrets {
			if fit, err := fits(version, given, signed, secret); fit || err != nil {
				return err
			}
		}
	}
	return errors.New("no signature fits")
}

// Whether this is the secret's signature. Versions that the secret is not for never fit.
func fits(version string, given, signed []byte, secret string) (bool, error) {
	switch {
	case version == "v1" && strings.HasPrefix(secret, "whsec_"):
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) < 24 {
			return false, errors.New("a secret is the base64 of at least 24 bytes")
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(signed)
		return hmac.Equal(mac.Sum(nil), given), nil
	case version == "v1a" && strings.HasPrefix(secret, "whpk_"):
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whpk_"))
		if err != nil || len(key) != ed25519.PublicKeySize {
			return false, errors.New("a public key is the base64 of 32 bytes")
		}
		return ed25519.Verify(ed25519.PublicKey(key), signed, given), nil
	}
	return false, nil
}

// Quoted in docs/receiving.md: end

func main() {
	if len(os.Args) != 5 || os.Args[1] != "verify" {
		fmt.Fprintln(os.Stderr, "usage: receiver verify ID TIMESTAMP SIGNATURE < body")
		os.Exit(2)
	}
	body, err := io.ReadAll(os.Stdin)
	if err == nil {
		headers := http.Header{}
		headers.Set("Webhook-Id", os.Args[2])
		headers.Set("Webhook-Timestamp", os.Args[3])
		headers.Set("Webhook-Signature", os.Args[4])
		err = Verify(headers, body, strings.Fields(os.Getenv("WEBHOOK_SECRETS")), time.Now())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "not valid:", err)
		os.Exit(1)
	}
	fmt.Println("valid")
}
