package tokencache

import (
	"net/http"
	"strings"
)

// A Challenge is one way of authenticating that a server offers (RFC 9110
// §11.3). Scheme and parameter names are compared without regard to case and
// stand here in lower case.
type Challenge struct {
	Scheme     string            // "bearer", "basic", …
	Token68    string            // set instead of Parameters by schemes such as Negotiate
	Parameters map[string]string // "realm", "service", "scope", …; values unquoted
}

// ParseChallenges reads every challenge of the WWW-Authenticate fields, in order
// (RFC 9110 §11.6.1). A field that is malformed counts up to the last challenge
// before the fault; an empty one holds no challenge.
func ParseChallenges(h http.Header) []Challenge {
	var challenges []Challenge
	for _, field := range h.Values("Www-Authenticate") {
		p := parser{rest: field}
		for {
			p.skip(" \t,")
			challenge, ok := p.challenge()
			if !ok {
				break
			}
			challenges = append(challenges, challenge)
		}
	}
	return challenges
}

// A parser consumes one field value from the left.
type parser struct{ rest string }

// challenge reads auth-scheme [ 1*SP ( token68 / #auth-param ) ].
func (p *parser) challenge() (Challenge, bool) {
	scheme := p.take(isToken)
	c := Challenge{Scheme: strings.ToLower(scheme)}
	if scheme == "" {
		return c, false
	}
	if !p.skip(" \t") || p.rest == "" || p.rest[0] == ',' {
		return c, p.atEnd()
	}
	if value, ok := p.token68(); ok {
		c.Token68 = value
		return c, true
	}
	c.Parameters = make(map[string]string)
	for {
		before := p.rest
		p.skip(" \t,")
		name := strings.ToLower(p.take(isToken))
		p.skip(" \t")
		if !p.skipOne('=') {
			// No parameter: the next challenge begins here, or the fault.
			p.rest = before
			return c, len(c.Parameters) > 0 && p.atEnd()
		}
		p.skip(" \t")
		value, ok := p.value()
		if name == "" || !ok || !p.atEnd() {
			p.rest = ""
			return c, false
		}
		if _, repeated := c.Parameters[name]; !repeated {
			c.Parameters[name] = value
		}
	}
}

// token68 reads the other form of credentials and challenges (RFC 9110 §11.2).
// It is told from a parameter by what follows its padding.
func (p *parser) token68() (string, bool) {
	before := p.rest
	p.take(isToken68)
	p.take(func(b byte) bool { return b == '=' })
	value := before[:len(before)-len(p.rest)]
	if value == "" || value[0] == '=' || !p.atEnd() {
		p.rest = before
		return "", false
	}
	return value, true
}

// value reads token / quoted-string (RFC 9110 §5.6.4).
func (p *parser) value() (string, bool) {
	if !p.skipOne('"') {
		value := p.take(isToken)
		return value, value != ""
	}
	var unquoted strings.Builder
	for i := 0; i < len(p.rest); i++ {
		switch b := p.rest[i]; {
		case b == '"':
			p.rest = p.rest[i+1:]
			return unquoted.String(), true
		case b == '\\' && i+1 < len(p.rest):
			i++
			unquoted.WriteByte(p.rest[i])
		default:
			unquoted.WriteByte(b)
		}
	}
	return "", false
}

// atEnd skips white space and tells whether a list element ends here.
func (p *parser) atEnd() bool {
	p.skip(" \t")
	return p.rest == "" || p.rest[0] == ','
}

func (p *parser) skip(set string) bool {
	trimmed := strings.TrimLeft(p.rest, set)
	skipped := len(trimmed) < len(p.rest)
	p.rest = trimmed
	return skipped
}

func (p *parser) skipOne(b byte) bool {
	if p.rest == "" || p.rest[0] != b {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *parser) take(accepted func(byte) bool) string {
	n := 0
	for n < len(p.rest) && accepted(p.rest[n]) {
		n++
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

func isAlphanumeric(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

// isToken is tchar of RFC 9110 §5.6.2.
func isToken(b byte) bool {
	return isAlphanumeric(b) || strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0
}

func isToken68(b byte) bool {
	return isAlphanumeric(b) || strings.IndexByte("-._~+/", b) >= 0
}
