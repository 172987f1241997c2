package upstream

import (
	"net/netip"
	"testing"
)

func TestGuard(t *testing.T) {
	listed := guard{[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("fd00::/8")}}
	for address, want := range map[string]struct{ plain, listed bool }{
		"93.184.216.34":          {true, true},
		"2606:2800:220:1::1":     {true, true},
		"10.1.2.3":               {false, true},
		"10.2.2.3":               {false, true},
		"127.0.0.1":              {false, true},
		"::1":                    {false, false},
		"192.168.1.1":            {false, true},
		"172.16.0.1":             {false, true},
		"100.64.0.1":             {false, true},
		"fd12::1":                {false, true},
		"::ffff:10.1.2.3":        {false, true},
		"::ffff:169.254.169.254": {false, false},
		"169.254.169.254":        {false, false}, // never, listed or not
		"fe80::1%eth0":           {false, false},
		"fd00:ec2::254":          {false, false},
		"100.100.100.200":        {false, false},
		"168.63.129.16":          {false, false},
		"0.0.0.0":                {false, false},
		"224.0.0.1":              {false, false},
		"ff02::1":                {false, false},
		"255.255.255.255":        {false, false},
		"64:ff9b::a9fe:a9fe":     {false, false}, // NAT64 of 169.254.169.254
		"2002:a9fe:a9fe::1":      {false, false},
	} {
		ip := netip.MustParseAddr(address)
		if got := (guard{}).check(ip) == nil; got != want.plain {
			t.Errorf("%s, nothing listed: allowed = %t", address, got)
		}
		if got := listed.check(ip) == nil; got != want.listed {
			t.Errorf("%s, listed: allowed = %t", address, got)
		}
	}
	for host, want := range map[string]bool{
		"storage.example.com": true, "s3.eu-1.example.com.": true, "93.184.216.34": true,
		"169.254.169.254": false, "169.254.169.254.": false, "0xa9fea9fe": false, "2852039166": false, "169.254.43518": false,
		"127.1": false, "localhost": false, "LOCALHOST.": false, "x.localhost": false, "metadata.google.internal.": false, "": false, ".": false,
		"64:ff9b:1::a9fe:a9fe": false, "240.0.0.1": false,
	} {
		if got := (guard{}).name(host) == nil; got != want {
			t.Errorf("%q through an egress proxy: allowed = %t", host, got)
		}
	}
	if (guard{}).dial("tcp", "no address", nil) == nil {
		t.Error("what is no address was allowed")
	}
}
