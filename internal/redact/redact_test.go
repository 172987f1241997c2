package redact_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"breakwater/internal/redact"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"gopkg.in/yaml.v3"
)

const hidden = "hunter2-and-more"

func TestSecretNeverPrints(t *testing.T) {
	secret := redact.Secret(hidden)
	holder := struct {
		Name     string
		Password redact.Secret
	}{"robot", secret}

	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	zap.New(core).Info("x", zap.Any("holder", holder), zap.Stringer("secret", secret), zap.Any("plain", secret))
	var logged strings.Builder
	for _, f := range logs.All()[0].Context {
		enc := zapcore.NewMapObjectEncoder()
		f.AddTo(enc)
		line, err := json.Marshal(enc.Fields)
		if err != nil {
			t.Fatal(err)
		}
		logged.Write(line)
	}

	for how, printed := range map[string]string{
		"%v": fmt.Sprintf("%v", holder), "%+v": fmt.Sprintf("%+v", holder), "%#v": fmt.Sprintf("%#v", holder),
		"%s": fmt.Sprintf("%s", secret), "%q": fmt.Sprintf("%q", secret), "%x": fmt.Sprintf("%x", secret),
		"json": string(asJSON), "yaml": string(asYAML), "zap": logged.String(),
	} {
		if strings.Contains(printed, hidden) || strings.Contains(printed, fmt.Sprintf("%x", hidden)) {
			t.Errorf("%s printed the secret: %s", how, printed)
		}
		if !strings.Contains(printed, redact.Placeholder) {
			t.Errorf("%s does not show that something was hidden: %s", how, printed)
		}
	}
	if secret.Reveal() != hidden {
		t.Error("Reveal must give the secret itself")
	}
	if redact.Secret("").String() != "" {
		t.Error("an empty secret must print as nothing")
	}
}

func TestURLKeepsHostAndPathOnly(t *testing.T) {
	u, err := url.Parse("https://user:pw@s3.example.com/bucket/blob?X-Amz-Signature=abc#frag")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := redact.URL(u), "https://s3.example.com/bucket/blob"; got != want {
		t.Errorf("URL = %q, want %q", got, want)
	}
	if got := redact.URL(nil); got != "" {
		t.Errorf("URL(nil) = %q, want nothing", got)
	}
}
