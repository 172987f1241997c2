package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"breakwater/internal/redact"
)

// maxPassword bounds a password file in bytes. nginx, in front of Harbor, takes
// no header line of more than 8 kB.
const maxPassword = 4 << 10

// maxToken bounds a bearer token file in bytes.
const maxToken = 16 << 10

// Credentials reads the account's password anew from its file or variable, so
// that a secret which was rotated is found by the next call. One newline at its
// end is not part of it. Without an account all three results are empty; an
// error is a [Problem] that names what the operator has to mend.
func (u Upstream) Credentials() (username string, password redact.Secret, err error) {
	if u.Username == "" && u.PasswordFile == "" && u.PasswordEnv == "" {
		return "", "", nil
	}
	password, m := u.password()
	if m != nil {
		return u.Username, "", Problem{Path: u.passwordAt, Message: m.message, Fix: m.fix}
	}
	return u.Username, password, nil
}

func (u Upstream) password() (redact.Secret, *mistake) {
	var text string
	if u.PasswordFile != "" {
		data, m := regularFile(u.PasswordFile, maxPassword)
		if m != nil {
			return "", m
		}
		text = string(data)
	} else {
		value, set := os.LookupEnv(u.PasswordEnv)
		if !set {
			return "", &mistake{"names an environment variable that is not set", "set it where Breakwater is started"}
		}
		text = value
	}
	return oneLine(text, "password")
}

// BearerToken reads what another Breakwater upstream is shown in place of an account,
// anew each time, since tokens are short-lived. It is empty where there is no such file;
// an error is a [Problem].
func (u Upstream) BearerToken() (redact.Secret, error) {
	return bearerToken(u.BearerTokenFile, u.bearerAt)
}

// bearerToken reads the token in file, if one is named; at is what an operator calls the
// place where it is named.
func bearerToken(file, at string) (redact.Secret, error) {
	if file == "" {
		return "", nil
	}
	token, m := readBearerToken(file)
	if m != nil {
		return "", Problem{Path: at, Message: m.message, Fix: m.fix}
	}
	return token, nil
}

func readBearerToken(file string) (redact.Secret, *mistake) {
	data, m := regularFile(file, maxToken)
	if m != nil {
		return "", m
	}
	return oneLine(string(data), "token")
}

// oneLine is text without the newline at its end: a password or a token, which is what
// the secret is called.
func oneLine(text, what string) (redact.Secret, *mistake) {
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	switch {
	case text == "":
		return "", &mistake{"leads to an empty " + what, "write the " + what + " there"}
	case strings.ContainsFunc(text, unicode.IsControl):
		return "", &mistake{"leads to more than one line, or to control characters", "write the " + what + " there and nothing else"}
	}
	return redact.Secret(text), nil
}

// regularFile reads a secret or certificate of at most limit bytes. A pipe
// would give its content only once, and is read again and again.
func regularFile(path string, limit int64) ([]byte, *mistake) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return nil, unreadable(path, err)
	}
	data, err := readFile(path, limit)
	if err != nil {
		return nil, unreadable(path, err)
	}
	return data, nil
}

// unreadable says why path could not be read, and shows it: what could be a
// secret in place of a path was refused by absolute.
func unreadable(path string, err error) *mistake {
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	fix := "name the right file"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fix = "create the file, or name the right one"
	case errors.Is(err, fs.ErrPermission):
		fix = "let the user as whom Breakwater runs read it"
	}
	return &mistake{fmt.Sprintf("%s cannot be read: %v", path, err), fix}
}
