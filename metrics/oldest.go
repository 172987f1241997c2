package metrics

import (
	"sync"
	"time"
)

// window is for how long the age of an answer is remembered: a few scrapes, so
// that none misses it, and a gauge that falls soon after the outage is over.
const window = 5 * time.Minute

// oldest remembers the largest age of the last five minutes, a minute at a time.
type oldest struct {
	mu      sync.Mutex // guards minutes
	minutes [int(window / time.Minute)]struct {
		number int64 // since 1970
		age    time.Duration
	}
}

func (o *oldest) note(now time.Time, age time.Duration) {
	number := now.Unix() / 60
	o.mu.Lock()
	defer o.mu.Unlock()
	minute := &o.minutes[number%int64(len(o.minutes))]
	if minute.number != number {
		minute.number, minute.age = number, 0
	}
	minute.age = max(minute.age, age)
}

func (o *oldest) age(now time.Time) time.Duration {
	number := now.Unix() / 60
	o.mu.Lock()
	defer o.mu.Unlock()
	var most time.Duration
	for _, minute := range o.minutes {
		if number-minute.number < int64(len(o.minutes)) {
			most = max(most, minute.age)
		}
	}
	return most
}
