package fill

import "time"

// meter measures the rate of the main stream over its last seconds. It is not safe
// for concurrent use.
type meter struct {
	earlier, now sample
}

// sample is what came since a time.
type sample struct {
	since time.Time
	bytes int64
}

const (
	sampleTime = 2 * time.Second        // the rate is that of the last one or two samples
	tooEarly   = 100 * time.Millisecond // a rate measured over less says nothing
)

func newMeter() meter {
	begin := sample{since: time.Now()}
	return meter{earlier: begin, now: begin}
}

func (m *meter) add(n int) {
	if at := time.Now(); at.Sub(m.now.since) >= sampleTime {
		m.earlier, m.now = m.now, sample{since: at}
	}
	m.now.bytes += int64(n)
}

// slow tells whether n more bytes would take longer than limit.
func (m *meter) slow(n int64, limit time.Duration) bool {
	bytes, elapsed := m.now.bytes, time.Since(m.earlier.since)
	if m.earlier.since != m.now.since {
		bytes += m.earlier.bytes
	}
	if elapsed < tooEarly {
		return false
	}
	return float64(n)*elapsed.Seconds() > float64(bytes)*limit.Seconds()
}
