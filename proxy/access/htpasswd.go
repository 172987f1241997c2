package access

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

// What an htpasswd file may hold. The greatest cost bounds how long one login keeps a
// processor busy: each step doubles it, and 12 is a quarter of a second.
const (
	mostHtpasswd    = 1 << 20 // bytes
	mostUsers       = 10_000
	longestUsername = 255 // bytes
	longestPassword = 72  // bytes: bcrypt does not see what follows
	leastCost       = bcrypt.MinCost
	greatestCost    = 12
	usualCost       = 10
)

// anew is what to do about a line that cannot be used.
const anew = "make it anew with: htpasswd -B -C 10"

// htpasswd is what a file in the format of Apache's tool of that name says: a user
// name and the hash of a password on each line.
type htpasswd struct {
	hashes map[string]string // bcrypt, by user name
	// nobodys is a hash that no password is known for, of the highest cost in the
	// file: to compare an unknown user's password with it takes as long as a known
	// one's, where all lines are of one cost.
	nobodys string
}

// parseHtpasswd reads an htpasswd file. An error names the line and what to do, and
// shows nothing of what is in the file. Comments begin with #; empty lines, space around a line (a carriage return, too) and
// a byte order mark do not count.
func parseHtpasswd(data []byte) (*htpasswd, error) {
	if len(data) > mostHtpasswd {
		return nil, fmt.Errorf("%d bytes are too many: at most %d are read", len(data), mostHtpasswd)
	}
	var (
		hashes  = make(map[string]string)
		lines   = make(map[string]int) // by user name
		highest = leastCost
		number  int
	)
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		username, hash, cost, err := parseUser(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if first, twice := lines[username]; twice {
			return nil, fmt.Errorf("line %d: the user of line %d again: remove one of the two", number, first)
		}
		if len(hashes) == mostUsers {
			return nil, fmt.Errorf("line %d: at most %d users are read", number, mostUsers)
		}
		hashes[username], lines[username], highest = hash, number, max(highest, cost)
	}
	if len(hashes) == 0 {
		highest = usualCost
	}
	return &htpasswd{hashes, fmt.Sprintf("$2a$%02d$%s", highest, strings.Repeat(".", 53))}, nil
}

// parseUser reads one line. Its errors quote nothing of it: where a colon is missing,
// or a password is not hashed, even the user name may be a secret.
func parseUser(line string) (username, hash string, cost int, err error) {
	username, hash, found := strings.Cut(line, ":")
	switch {
	case !found:
		return "", "", 0, errors.New("no colon between a user name and a hash: " + anew)
	case username == "":
		return "", "", 0, errors.New("no user name before the colon: " + anew)
	case len(username) > longestUsername:
		return "", "", 0, fmt.Errorf("a user name of %d bytes: at most %d are read", len(username), longestUsername)
	case !utf8.ValidString(username):
		return "", "", 0, errors.New("a user name that is not UTF-8, in which clients send it: save the file as UTF-8")
	case strings.TrimSpace(username) != username || strings.ContainsFunc(username, unicode.IsControl):
		return "", "", 0, errors.New("a user name with a control character, or with space around it: remove these")
	}
	cost, err = bcryptCost(hash)
	return username, hash, cost, err
}

// bcryptHash is a whole one: its cost, a salt of 22 characters and a sum of 31. The
// letters name implementations that agree on every password a client can send.
var bcryptHash = regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$`)

// bcryptCost checks a hash and tells the logarithm of its rounds.
func bcryptCost(hash string) (int, error) {
	parts := bcryptHash.FindStringSubmatch(hash)
	if parts == nil {
		return 0, fmt.Errorf("the password is %s, and only bcrypt is read: %s", hashKind(hash), anew)
	}
	cost, err := strconv.Atoi(parts[1])
	if err != nil || cost < leastCost || cost > greatestCost {
		return 0, fmt.Errorf("bcrypt of cost %s, and costs from %d to %d are read: %s", parts[1], leastCost, greatestCost, anew)
	}
	return cost, nil
}

// hashKind is what to call a hash that is not read.
func hashKind(hash string) string {
	for _, kind := range []struct{ prefix, name string }{
		{"$apr1$", "hashed with Apache's MD5 ($apr1$)"},
		{"$1$", "hashed with MD5 ($1$)"},
		{"$5$", "hashed with SHA-256 crypt ($5$)"},
		{"$6$", "hashed with SHA-512 crypt ($6$)"},
		{"{SHA}", "hashed with SHA-1 ({SHA})"},
		{"{SSHA}", "hashed with salted SHA-1 ({SSHA})"},
		{"$argon2", "hashed with Argon2"},
		{"$2x$", "hashed with a bcrypt known to be wrong ($2x$)"},
		{"$2", "a bcrypt hash that is cut, or has something added"},
	} {
		if strings.HasPrefix(hash, kind.prefix) {
			return kind.name
		}
	}
	return "missing, in plain text, or hashed with crypt"
}
