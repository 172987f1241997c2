package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written with a unit: 60GiB, 500MB, 1048576.
type Size int64

// Units of two and of ten. A capital K does not say which, and is refused.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

// unit is the factor of a unit's name, or 0.
func unit(name string) Size {
	switch name {
	case "", "B":
		return 1
	case "kB":
		return 1e3
	case "MB":
		return 1e6
	case "GB":
		return 1e9
	case "TB":
		return 1e12
	case "KiB":
		return KiB
	case "MiB":
		return MiB
	case "GiB":
		return GiB
	case "TiB":
		return TiB
	}
	return 0
}

func (s *Size) parse(text string) *mistake {
	number, name := text, ""
	if i := strings.IndexFunc(text, func(c rune) bool { return c < '0' || c > '9' }); i >= 0 {
		number, name = text[:i], strings.TrimSpace(text[i:])
	}
	n, err := strconv.ParseInt(number, 10, 64)
	factor := unit(name)
	if err != nil || factor == 0 || n > math.MaxInt64/int64(factor) {
		return &mistake{
			shown(text) + " is not a size",
			"write a whole number and kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 60GiB",
		}
	}
	*s = Size(n) * factor
	return nil
}

// String writes s with the largest unit of two that divides it, so that it reads
// back as the same size.
func (s Size) String() string {
	for _, name := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if factor := unit(name); s != 0 && s%factor == 0 {
			return strconv.FormatInt(int64(s/factor), 10) + name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText covers JSON and YAML.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText lets a flag be a Size.
func (s *Size) UnmarshalText(text []byte) error {
	if m := s.parse(string(text)); m != nil {
		return errors.New(m.message + "; " + m.fix)
	}
	return nil
}

// Reserve is what stays free of a file system: a share of its size in percent,
// or, if Percent is 0, a size.
type Reserve struct {
	Percent int // 0 to 90
	Size    Size
}

func (v *Reserve) parse(text string) *mistake {
	number, percent := strings.CutSuffix(text, "%")
	if !percent {
		var size Size
		if size.parse(text) != nil {
			return &mistake{shown(text) + " is neither a percentage nor a size", "write, for example, 20% or 10GiB"}
		}
		*v = Reserve{Size: size}
		return nil
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n > 90 {
		return &mistake{shown(text) + " is not a percentage from 0% to 90%", "write, for example, 20%"}
	}
	*v = Reserve{Percent: n}
	return nil
}

// String is 20% or 10GiB.
func (v Reserve) String() string {
	if v.Percent > 0 {
		return strconv.Itoa(v.Percent) + "%"
	}
	return v.Size.String()
}

// MarshalText covers JSON and YAML.
func (v Reserve) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Duration is written as Go does: 30s, 5m, 1h30m.
type Duration struct{ time.Duration }

func (d *Duration) parse(text string) *mistake {
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return &mistake{fmt.Sprintf("%s is not a duration", shown(text)), "write a number and ms, s, m or h, such as 30s"}
	}
	d.Duration = parsed
	return nil
}

// String is 1h30m rather than 1h30m0s.
func (d Duration) String() string {
	text := d.Duration.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText covers JSON and YAML.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Forever is the longest duration there is, some 292 years.
const Forever time.Duration = math.MaxInt64

// Period is a duration, or the word forever.
type Period struct{ time.Duration }

func (p *Period) parse(text string) *mistake {
	if text == "forever" {
		p.Duration = Forever
		return nil
	}
	var d Duration
	if d.parse(text) != nil {
		return &mistake{shown(text) + " is not a duration", "write a number and ms, s, m or h, such as 168h, or forever"}
	}
	p.Duration = d.Duration
	return nil
}

// String is forever, or that of [Duration].
func (p Period) String() string {
	if p.Duration == Forever {
		return "forever"
	}
	return Duration(p).String()
}

// MarshalText covers JSON and YAML.
func (p Period) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
