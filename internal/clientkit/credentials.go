package clientkit

import "fmt"

// certificates tells of a client that finds them in a folder of the registry's name.
func (m Mirror) certificates(certsD string) []string {
	if m.plain() {
		return nil
	}
	folder := certsD + "/" + m.host() + "/"
	remarks := []string{fmt.Sprintf("If the system does not trust the listener's certificate, put its authority, in PEM form, into\n  %sca.crt", folder)}
	if m.CA != "" {
		remarks = []string{fmt.Sprintf("Copy the authority of the listener's certificate:\n  %s → %sca.crt", m.CA, folder)}
	}
	if m.Access == Certificate {
		cert, key := m.pair()
		remarks = append(remarks, fmt.Sprintf("The client's own certificate, and its key, belong beside it:\n  %s → %sclient.cert\n  %s → %sclient.key", cert, folder, key, folder))
	}
	return remarks
}

// login tells how credentials are given to clients that keep them.
func (m Mirror) login(command string) []string {
	switch m.Access {
	case Login:
		return []string{fmt.Sprintf("The listener asks for a login:\n  %s %s", command, m.host())}
	case Token:
		return []string{fmt.Sprintf("The listener asks for a token, as the password of any user name:\n  %s %s -u token --password-stdin < TOKEN_FILE", command, m.host())}
	}
	return nil
}

// pair is the client's certificate and key, or what stands for them.
func (m Mirror) pair() (cert, key string) {
	if m.Cert == "" {
		return "/path/to/client.crt", "/path/to/client.key"
	}
	return m.Cert, m.Key
}

// pairGap is the gap that pair leaves.
func (m Mirror) pairGap() []string {
	if m.Access == Certificate && m.Cert == "" {
		return []string{"the paths of the client's certificate and key: give --client-cert and --client-key"}
	}
	return nil
}

// trust tells of a client whose configuration names the authority.
func (m Mirror) trust() []string {
	if m.plain() || m.CA != "" {
		return nil
	}
	return []string{"No ca is written, so clients must trust the listener's certificate as they trust others:\ngive --ca FILE, the path there of its authority, if they do not."}
}
