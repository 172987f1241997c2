package access

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// rest is what follows the cost in a well-formed hash.
var rest = strings.Repeat("a", 53)

func TestHtpasswdIsRead(t *testing.T) {
	file := "\ufeff# who may pull\r\n" +
		"alice:$2y$10$" + rest + "\r\n" +
		"\r\n" +
		"  # CI\n" +
		" bob:$2a$04$" + rest + "\t\n" +
		"jürgen müller@example.com:$2b$12$" + rest
	got, err := parseHtpasswd([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"alice":                     "$2y$10$" + rest,
		"bob":                       "$2a$04$" + rest,
		"jürgen müller@example.com": "$2b$12$" + rest,
	}
	if !maps.Equal(got.hashes, want) {
		t.Errorf("got %v, want %v", got.hashes, want)
	}
}

func TestHtpasswdOfNobody(t *testing.T) {
	for _, file := range []string{"", "\n", "# none yet\n"} {
		got, err := parseHtpasswd([]byte(file))
		if err != nil || len(got.hashes) != 0 {
			t.Errorf("%q: %v, %v", file, got, err)
		}
	}
}

// A hash of nobody's takes as long as the slowest of the file, and is one that bcrypt
// works through.
func TestNobodysHash(t *testing.T) {
	for file, want := range map[string]int{
		"":                 10,
		"a:$2y$04$" + rest: 4,
		"a:$2y$04$" + rest + "\nb:$2y$11$" + rest + "\nc:$2y$05$" + rest: 11,
	} {
		got, err := parseHtpasswd([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		if cost, err := bcrypt.Cost([]byte(got.nobodys)); err != nil || cost != want {
			t.Errorf("%q: a hash of cost %d, want %d (%v)", file, cost, want, err)
		}
		cheap := strings.Replace(got.nobodys, fmt.Sprintf("$%02d$", want), "$04$", 1) // the same but for the time it takes
		if err := bcrypt.CompareHashAndPassword([]byte(cheap), []byte("anything")); !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			t.Errorf("%q: %v", file, err)
		}
	}
}

func TestHtpasswdMistakes(t *testing.T) {
	const secret = "Tr0ub4dor"
	good := "alice:$2y$10$" + rest + "\n"
	for name, test := range map[string]struct{ file, want string }{
		"no colon":      {good + secret, "line 2: no colon between a user name and a hash: " + anew},
		"no user":       {good + "\n:" + secret, "line 3: no user name before the colon: " + anew},
		"plain":         {good + "bob:" + secret, "line 2: the password is missing, in plain text, or hashed with crypt, and only bcrypt is read: " + anew},
		"no password":   {good + "bob:", "line 2: the password is missing, in plain text, or hashed with crypt, and only bcrypt is read: " + anew},
		"crypt":         {"bob:rqXexS6ZhobKA", "line 1: the password is missing, in plain text, or hashed with crypt, and only bcrypt is read: " + anew},
		"Apache's MD5":  {"bob:$apr1$" + secret + "$x", "line 1: the password is hashed with Apache's MD5 ($apr1$), and only bcrypt is read: " + anew},
		"MD5":           {"bob:$1$" + secret + "$x", "line 1: the password is hashed with MD5 ($1$), and only bcrypt is read: " + anew},
		"SHA-1":         {"bob:{SHA}" + secret, "line 1: the password is hashed with SHA-1 ({SHA}), and only bcrypt is read: " + anew},
		"SHA-256 crypt": {"bob:$5$" + secret, "line 1: the password is hashed with SHA-256 crypt ($5$), and only bcrypt is read: " + anew},
		"SHA-512 crypt": {"bob:$6$" + secret, "line 1: the password is hashed with SHA-512 crypt ($6$), and only bcrypt is read: " + anew},
		"Argon2":        {"bob:$argon2id$" + secret, "line 1: the password is hashed with Argon2, and only bcrypt is read: " + anew},
		"2x":            {"bob:$2x$10$" + rest, "line 1: the password is hashed with a bcrypt known to be wrong ($2x$), and only bcrypt is read: " + anew},
		"cut":           {"bob:$2y$10$" + rest[1:], "line 1: the password is a bcrypt hash that is cut, or has something added, and only bcrypt is read: " + anew},
		"a comment":     {"bob:$2y$10$" + rest + " # CI", "line 1: the password is a bcrypt hash that is cut, or has something added, and only bcrypt is read: " + anew},
		"strange":       {"bob:$2y$10$" + rest[1:] + "!", "line 1: the password is a bcrypt hash that is cut, or has something added, and only bcrypt is read: " + anew},
		"cost 3":        {"bob:$2y$03$" + rest, "line 1: bcrypt of cost 03, and costs from 4 to 12 are read: " + anew},
		"cost 13":       {"bob:$2y$13$" + rest, "line 1: bcrypt of cost 13, and costs from 4 to 12 are read: " + anew},
		"twice":         {good + "# again\nalice:$2y$10$" + rest, "line 3: the user of line 1 again: remove one of the two"},
		"space":         {"bob :$2y$10$" + rest, "line 1: a user name with a control character, or with space around it: remove these"},
		"control":       {"b\x00b:$2y$10$" + rest, "line 1: a user name with a control character, or with space around it: remove these"},
		"old Macintosh": {"bob:$2y$10$" + rest + "\rbab:$2y$10$" + rest, "line 1: the password is a bcrypt hash that is cut, or has something added, and only bcrypt is read: " + anew},
		"Latin-1":       {"j\xfcrgen:$2y$10$" + rest, "line 1: a user name that is not UTF-8, in which clients send it: save the file as UTF-8"},
		"long name":     {strings.Repeat("b", 256) + ":$2y$10$" + rest, "line 1: a user name of 256 bytes: at most 255 are read"},
		"too large":     {strings.Repeat("#", mostHtpasswd+1), "1048577 bytes are too many: at most 1048576 are read"},
		"too many":      {users(mostUsers + 1), "line 10001: at most 10000 users are read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseHtpasswd([]byte(test.file))
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
	if _, err := parseHtpasswd([]byte(users(mostUsers))); err != nil {
		t.Errorf("as many users as may be: %v", err)
	}
}

func users(n int) string {
	var file strings.Builder
	for i := range n {
		fmt.Fprintf(&file, "user%d:$2y$10$%s\n", i, rest)
	}
	return file.String()
}

// saying is all that an error about an htpasswd file ever says: none of its text.
var saying = regexp.MustCompile(`^(line \d+: ` +
	`(no colon between a user name and a hash: ` + anew + `|no user name before the colon: ` + anew +
	`|a user name of \d+ bytes: at most 255 are read` +
	`|a user name that is not UTF-8, in which clients send it: save the file as UTF-8` +
	`|a user name with a control character, or with space around it: remove these` +
	`|the user of line \d+ again: remove one of the two|at most 10000 users are read` +
	`|bcrypt of cost \d\d, and costs from 4 to 12 are read: ` + anew +
	`|the password is (hashed with (Apache's MD5 \(\$apr1\$\)|MD5 \(\$1\$\)|SHA-256 crypt \(\$5\$\)|SHA-512 crypt \(\$6\$\)` +
	`|SHA-1 \({SHA}\)|salted SHA-1 \({SSHA}\)|Argon2|a bcrypt known to be wrong \(\$2x\$\))` +
	`|a bcrypt hash that is cut, or has something added|missing, in plain text, or hashed with crypt), and only bcrypt is read: ` + anew + `)` +
	`|\d+ bytes are too many: at most 1048576 are read)$`)

func FuzzHtpasswd(f *testing.F) {
	for _, seed := range []string{
		"alice:$2y$10$" + rest, "# x\r\n\r\nalice:$2a$04$" + rest + "\r\n", "alice:secret", "secret", ":x",
		"alice:$apr1$x$y", "bob:{SSHA}x", "a:$2y$31$" + rest, "a:$2y$10$" + rest + "\na:$2y$10$" + rest, "\ufeffa:$2b$05$" + rest,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parseHtpasswd(data)
		if err != nil {
			if !saying.MatchString(err.Error()) {
				t.Fatalf("an error that may quote the file: %v", err)
			}
			return
		}
		var again strings.Builder
		again.WriteByte('\n') // a byte order mark within a user name stays one
		for _, username := range slices.Sorted(maps.Keys(file.hashes)) {
			hash := file.hashes[username]
			if !sendable(username, longestUsername) {
				t.Fatalf("no client can send the user name %q", username)
			}
			cost, err := bcrypt.Cost([]byte(hash))
			if err != nil || cost > greatestCost {
				t.Fatalf("%q is of cost %d, %v", hash, cost, err)
			}
			cheap := hash[:4] + "04" + hash[6:] // the same but for the time it takes
			if err := bcrypt.CompareHashAndPassword([]byte(cheap), []byte("x")); err != nil && !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
				t.Fatalf("bcrypt cannot work with %q: %v", hash, err)
			}
			fmt.Fprintf(&again, "%s:%s\n", username, hash)
		}
		reread, err := parseHtpasswd([]byte(again.String()))
		if err != nil && len(again.String()) <= mostHtpasswd || err == nil && !maps.Equal(reread.hashes, file.hashes) {
			t.Fatalf("%q written again reads as %v, %v", data, reread, err)
		}
	})
}
