package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"breakwater/proxy/upstream"
	"breakwater/tokencache"
)

// explain is the one place that says what an error of package upstream or
// tokencache means, and what to do.
func (v *visit) explain(err error) (seen, todo string) {
	var (
		credential  *tokencache.CredentialError
		unavailable *tokencache.UnavailableError
		unreachable *upstream.UnreachableError
		redirect    *upstream.RedirectError
	)
	switch {
	case errors.As(err, &credential) && credential.Account == "":
		return "upstream wants a user name and a password, and none are configured", "set username and password_file"
	case errors.As(err, &credential) && v.refusal == nil && v.who.Account != "":
		return fmt.Sprintf("upstream refuses %s, which it accepted a moment ago", credential.Account),
			"try again in a minute: a Harbor whose database goes down refuses good credentials"
	case errors.As(err, &credential) && v.harbor:
		return fmt.Sprintf("Harbor refuses %s: the password is wrong, or the account is disabled, expired or deleted (it says the same to all of these)", credential.Account),
			eaten(credential.Account) + "look at the account in Harbor; give it a new secret there and write that into the password's file. " +
				"If it worked a moment ago, try again in a minute: Harbor answers the same while its database goes down"
	case errors.As(err, &credential):
		return fmt.Sprintf("upstream refuses %s or its password", credential.Account), "look at the account there, and at the password's file"
	case errors.As(err, &unavailable) && v.ill:
		return unavailable.Error(), "mend Harbor first: the credential may be good"
	case errors.As(err, &unavailable):
		return unavailable.Error(), "look at the token service and what stands in front of it; at Harbor that is core"
	case errors.As(err, &redirect):
		return redirect.Error(), "look whether that storage answers from here; if its address is private, list its network under redirects"
	case errors.As(err, &unreachable):
		return "no answer: " + withoutURL(unreachable.Err), "look at upstream, and at the network between"
	case errors.Is(err, context.Canceled):
		return "interrupted", ""
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", StepLimit), "look at upstream's load"
	}
	return err.Error(), ""
}

// eaten is a hint for a robot's name that lost its $ in a shell.
func eaten(account string) string {
	if strings.HasPrefix(account, "robot") && !strings.Contains(account, "$") {
		return "did a shell take the $ and what follows for a variable? Quote the name: 'robot$name'. Else "
	}
	return ""
}

// advice is what to do about an answer that is not what was asked for.
func advice(said refusal) string {
	switch {
	case said.status == http.StatusPreconditionFailed:
		return "the project's policy refuses it to everybody: sign or scan the image in Harbor, or change the policy"
	case said.status == http.StatusNotFound:
		return "in a proxy-cache project: look whether its source can be reached from Harbor"
	case said.status == http.StatusUnauthorized:
		return "look at Harbor's health: while its database is down it refuses everything"
	case said.status == http.StatusBadGateway && said.code == "":
		return "look at Harbor's registry, where manifests and blobs are kept"
	}
	return "look at upstream's log"
}
