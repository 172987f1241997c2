package proxy

// attestation is the platform of what builders put beside an image's own manifests:
// whoever runs the image does not pull it.
const attestation = "unknown/unknown"

// outlooks are what the next pull comes to, of each platform that is known of.
func outlooks(right Right, tag *Tagged, top *Object) []Outlook {
	if top == nil {
		return []Outlook{outlook("", right, tag)}
	}
	var found []Outlook
	for _, under := range top.Children {
		if under.Kind == KindOfManifest && under.Platform != attestation {
			found = append(found, outlook(under.Platform, right, tag, append([]Object{*top, under}, under.Children...)...))
		}
	}
	if found == nil {
		found = []Outlook{outlook("", right, tag, append([]Object{*top}, top.Children...)...)}
	}
	return found
}

// outlook is what a pull comes to that takes a tag, if there is one, and those objects.
func outlook(platform string, right Right, tag *Tagged, objects ...Object) Outlook {
	o := Outlook{Platform: platform, Here: true, Down: true}
	denied := right.Denied != ""
	if tag != nil && !tag.answered() {
		must := tag.State != RecordStale // which is served although upstream refuses it once
		o.needs(Need{What: NeedTag, State: tag.State, Count: 1, Must: must})
		o.Denied = denied && must
	}
	for _, object := range objects {
		switch object.State {
		case ObjectBlocked:
			o.Blocked = true
		case ObjectHit:
		default:
			o.needs(Need{What: object.Kind, State: object.State, Count: 1, Size: object.lacks(), Must: true})
			o.Denied = o.Denied || denied && !object.joined()
		}
	}
	if o.Blocked {
		o.Here, o.Down, o.Denied = false, false, false
	}
	return o
}

// answered tells whether a client is given the tag without a question: it is fresh, or
// stale and upstream said a moment ago that it cannot confirm it.
func (t *Tagged) answered() bool {
	return t.State == RecordFresh || t.State == RecordStale && t.Refused != ""
}

// joined tells that it is on its way, and taken from there without a question.
func (o Object) joined() bool { return o.State == ObjectFilling && o.Linked }

// lacks is how many bytes have to come, as far as that is known.
func (o Object) lacks() int64 {
	if o.Held {
		return 0
	}
	return max(o.Size-o.Arrived, 0)
}

// needs adds up what is needed for the same reason.
func (o *Outlook) needs(n Need) {
	o.Here, o.Down = false, o.Down && !n.Must
	for i, like := range o.Needs {
		if like.What == n.What && like.State == n.State {
			o.Needs[i].Count += n.Count
			o.Needs[i].Size += n.Size
			return
		}
	}
	o.Needs = append(o.Needs, n)
}
