package harbortest

import (
	"time"
)

const (
	appPull   = "repository:team-a/app:pull"
	pushPush  = "repository:team-a/pushed:pull,push"
	freshPull = "repository:hub-proxy/library/fresh:pull"
	trimPull  = "repository:hub-proxy/library/trim:pull"
)

// config7a19 is an image config whose bytes are known from the recordings.
const config7a19 = `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{}}`

// steps are what happened to Harbor between the recorded requests: by file, and
// by the number of the entry that comes next.
var steps = map[string]map[int]func(*world){
	"01-ping-v2.txt": {
		16: func(w *world) {
			token := w.token(Puller, appPull)
			w.tokens["the valid token with the signature altered"] = token[:len(token)-8] + "AAAAAAAA"
		},
		31: func(w *world) {
			w.h.SetTokenLife(time.Minute)
			delete(w.tokens, Puller+"; "+appPull)
			w.tokens[Puller+"; "+appPull+"; made with token_expiration=1 minute"] = w.token(Puller, appPull)
			time.Sleep(80 * time.Second)
		},
		33: func(*world) { time.Sleep(44 * time.Second) },
	},
	"02-token-service.txt": {
		50: func(w *world) { w.h.SetTokenLife(5 * time.Minute) },
	},
	"05-blobs.txt": {
		1: func(w *world) { w.pushImage("team-a/big", 10_000_200) }, // one of the ranges begins at 10,000,000
	},
	"07-push.txt": {
		1: func(w *world) { w.pushBlob("team-a/pushed", config7a19) },
	},
	"08-host-and-forwarded.txt": {
		18: func(w *world) { w.tokens["issued under Host registry.example.com"] = w.token(Puller, appPull) },
	},
	"08b-external-url-https.txt": {
		1: func(w *world) { w.h.SetExternalURL("https://registry.example.com") },
	},
	"09-errors-quota-immutable-policy.txt": {
		1: func(w *world) {
			for _, name := range []string{"team-q", "team-v", "team-gone"} {
				w.h.AddProject(Project{Name: name})
			}
			w.pushBlob("team-q/x", config7a19)
			w.pushBlob("team-v/x", config7a19)
			w.pushBlob("team-v/x", string(fileContent("6fc3f8f35d9ed1d7e1ed5ef7a5e9b89cc5ada956bc9db5f6c6db1c8cf91a67b6", 15000)))
		},
		4: func(w *world) { w.ours["fab6d6ae-ca0e-4755-b5c6-7ef20a3bd3e4"] = w.startUpload("team-q/x") },
		7: func(w *world) { w.h.AddProject(Project{Name: "team-q", Immutable: true}) },
		10: func(w *world) {
			w.token(Pusher, pushPush)
			w.h.SetReadOnly(true)
		},
		14: func(w *world) {
			w.h.SetReadOnly(false)
			w.addRobot("robot$team-a+temp")
		},
		15: func(w *world) { w.h.Disable("robot$team-a+temp") },
		18: func(w *world) { w.h.Remove("robot$team-a+temp") },
		21: func(w *world) { w.h.SetRights(Alice, nil, nil) },
		23: func(w *world) {
			w.token(Puller, "repository:team-b/secret:pull")
			w.h.AddProject(Project{Name: "team-b", Public: true})
		},
		25: func(w *world) { w.h.AddProject(Project{Name: "team-b"}) },
		26: func(w *world) {
			w.token("admin", "repository:team-gone/x:pull,push")
			w.h.RemoveProject("team-gone")
		},
		31: func(w *world) { w.h.AddProject(Project{Name: "team-v", Policy: RequireSignature}) },
	},
	"10-proxy-cache-project.txt": {
		14: func(*world) { time.Sleep(30 * time.Second) },
		34: func(w *world) {
			moved, err := image("fresh 2.0", docker, layerSpec{"fresh", 3234}, layerSpec{"fresh 2.0", 3229})
			w.must(err)
			upstream, err := w.h.Upstream("hub-proxy")
			w.must(err)
			_, err = upstream.Push("library/fresh", "1.0", moved)
			w.must(err)
		},
		35: func(w *world) { w.h.SetDown(ProxyUpstream, true) },
		42: func(*world) { time.Sleep(65 * time.Second) },
		45: func(w *world) {
			w.h.SetDown(ProxyUpstream, false)
			time.Sleep(time.Second)
		},
	},
	"10b-proxy-cache-upstream-unhealthy.txt": {
		2: func(w *world) {
			time.Sleep(time.Minute)
			w.h.SetDown(ProxyUpstream, true)
			time.Sleep(316 * time.Second)
		},
		6: func(w *world) {
			w.h.SetDown(ProxyUpstream, false)
			time.Sleep(2 * time.Second)
		},
		7: func(*world) { time.Sleep(296 * time.Second) },
	},
	"11-cookies.txt": {
		// The session of a login is as good as any other, but for what it may do.
		15: func(w *world) { w.ours["7b8d30c8184238584950041ba248d9c2"] = w.h.newSession() },
	},
	"12-backends-down.txt": {
		1: func(w *world) {
			w.token(Puller, appPull)
			w.token(Pusher, pushPush)
			w.h.SetDown(Storage, true)
		},
		13: func(w *world) { w.h.SetDown(Storage, false) },
		14: func(w *world) { w.h.SetDown(Core, true) },
		26: func(w *world) { w.h.SetDown(Core, false) },
		27: func(w *world) { w.h.SetDown(Database, true) },
		39: func(w *world) { w.h.SetDown(Database, false) },
		40: func(w *world) { w.h.SetDown(Redis, true) },
		52: func(w *world) { w.h.SetDown(Redis, false) },
	},
	"13-service-account-lifecycle-and-misc.txt": {
		1: func(w *world) { w.addRobot("robot$team-a+shortlived") },
		2: func(w *world) {
			w.token("robot$team-a+shortlived", appPull)
			w.h.change("robot$team-a+shortlived", func(a *Account) { a.Expires = time.Now().Add(-time.Second) })
		},
		6: func(w *world) {
			w.addRobot("robot$team-a+rotated")
			w.token("robot$team-a+rotated", appPull)
			w.h.SetPassword("robot$team-a+rotated", "a new secret")
		},
		8: func(w *world) { w.passwords["robot$team-a+rotated"] = "a new secret" },
		23: func(w *world) {
			w.h.AddProject(Project{Name: "team-again"})
			description := "admin; repository:team-again/x:pull"
			w.tokens[description+"; issued BEFORE the project was deleted and made again"] = w.token("admin", "repository:team-again/x:pull")
			delete(w.tokens, description)
			w.h.RemoveProject("team-again")
			time.Sleep(2 * time.Second)
			w.h.AddProject(Project{Name: "team-again"})
		},
	},
	"15-truncation-and-limits.txt": {
		1: func(w *world) {
			w.pushImage("team-a/huge", 3<<20)
			w.h.AddFault(Fault{Match: Blobs, After: 1 << 20, Cut: true})
		},
		3: func(w *world) {
			w.tokens["87 repositories, 8099 characters"] = w.longToken(87, 8099)
			w.tokens["88 repositories, 8180 characters"] = w.longToken(88, 8180)
		},
	},
	"16-proxy-cache-index-trimmed.txt": {
		3: func(*world) { time.Sleep(90 * time.Second) },
		4: func(w *world) { w.h.SetDown(ProxyUpstream, true) },
		9: func(w *world) { w.h.SetDown(ProxyUpstream, false) },
	},
	"16b-proxy-cache-index-later.txt": {
		1: func(w *world) {
			w.get(trimPull, "/v2/hub-proxy/library/trim/manifests/1")
			w.get(trimPull, "/v2/hub-proxy/library/trim/manifests/sha256:9e5755fb3e12ae16858b816ed24a398d5d7eeff5a76e6001342c8f0343e3de2f")
			time.Sleep(11 * time.Minute)
		},
		2: func(w *world) { w.h.SetDown(ProxyUpstream, true) },
		5: func(w *world) { w.h.SetDown(ProxyUpstream, false) },
	},
	"17-a-listing-proves-no-right.txt": {
		1: func(w *world) {
			base, err := image("base", oci, baseLayer)
			w.must(err)
			_, err = w.h.Push("library/forged", "", base)
			w.must(err)
		},
	},
}

func (w *world) pushBlob(repository, content string) {
	g, err := w.h.Content(repository)
	w.must(err)
	_, err = g.PushBlob(repository, []byte(content))
	w.must(err)
}

// startUpload begins an upload that is not part of the recording.
func (w *world) startUpload(repository string) string {
	response, _, _ := w.ask("POST", "POST /v2/"+repository+"/blobs/uploads/ HTTP/1.1\r\nHost: "+recordedAddress+
		"\r\nAuthorization: "+w.basic("admin", AdminPassword)+"\r\nContent-Length: 0\r\n\r\n", nil)
	return response.Header.Get("Docker-Upload-Uuid")
}

func (w *world) addRobot(name string) {
	w.h.AddAccount(Account{Name: name, Password: Password(name), Pull: []string{"team-a"}})
}

// get asks for something that is not part of the recording.
func (w *world) get(scope, path string) {
	response, _, _ := w.ask("GET", "GET "+w.translate(path)+" HTTP/1.1\r\nHost: "+recordedAddress+
		"\r\nAuthorization: Bearer "+w.token(Everything, scope)+"\r\nAccept: application/vnd.oci.image.index.v1+json\r\n\r\n", nil)
	if response.StatusCode != 200 {
		w.t.Fatalf("GET %s: %s", path, response.Status)
	}
}
