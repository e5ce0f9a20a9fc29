package table

import (
	"fmt"
	"time"
)

const (
	day   = 24 * time.Hour
	week  = 7 * day
	month = 30 * day
	year  = 365 * day
)

// ago prints the age of a time; "" for the zero time, which means never.
func ago(then, now time.Time) string {
	if then.IsZero() {
		return ""
	}
	return duration(now.Sub(then)) + " ago"
}

// duration prints d in the format of docker clients. Hours are rounded, other units truncated; a
// negative duration is less than a second.
func duration(d time.Duration) string {
	hours := d.Round(time.Hour)
	switch {
	case d < time.Second:
		return "Less than a second"
	case d < 2*time.Second:
		return "1 second"
	case d < time.Minute:
		return fmt.Sprintf("%d seconds", d/time.Second)
	case d < 2*time.Minute:
		return "About a minute"
	case d < time.Hour:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	case hours == time.Hour:
		return "About an hour"
	case hours < 48*time.Hour:
		return fmt.Sprintf("%d hours", hours/time.Hour)
	case hours < 2*week:
		return fmt.Sprintf("%d days", hours/day)
	case hours < 2*month:
		return fmt.Sprintf("%d weeks", hours/week)
	case hours < 2*year:
		return fmt.Sprintf("%d months", hours/month)
	}
	return fmt.Sprintf("%d years", hours/year)
}
