package explain

import "breakwater/proxy"

// Report is all that is said of one image.
type Report struct {
	Image string `json:"image"` // in full
	proxy.Explanation
	Listeners []Listener `json:"listeners,omitempty"` // none where no route leads anywhere
}

// Listener says who may pull the image there, as far as that can be said before
// anybody has come.
type Listener struct {
	Address string `json:"address"` // as configured
	Mode    string `json:"mode"`
	Default string `json:"default,omitempty"` // its route for names without a registry
	Who     string `json:"who"`               // in words: whom its mode lets in
	// Allowed tells whether any of them may pull the image, and Rules which rules of
	// allow say so, and of whom; there are none where all may.
	Allowed bool     `json:"allowed"`
	Rules   []string `json:"rules,omitempty"`
}
