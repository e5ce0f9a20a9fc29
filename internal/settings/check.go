package settings

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/foreigntext"
)

const (
	// MaxConcurrency bounds settings that allocate memory per unit: workers, slots.
	MaxConcurrency = 10_000
	// MaxCount bounds every other count.
	MaxCount = 10_000_000
	// maxSize bounds every size: more is a slip and would not fit into memory.
	maxSize Size = 1 << 40
	// maxShown is the number of bytes of a value that an error shows.
	maxShown = 100
)

// Checks collects the mistakes of a section. The zero value has none.
type Checks struct{ errs field.ErrorList }

// Errors returns the mistakes, in the order in which they were found.
func (c *Checks) Errors() field.ErrorList { return c.errs }

// Add adds mistakes.
func (c *Checks) Add(errs ...*field.Error) { c.errs = append(c.errs, errs...) }

// Invalid adds a mistake about a value, of which the error shows the beginning.
func (c *Checks) Invalid(p *field.Path, value, detail string) {
	c.Add(field.Invalid(p, foreigntext.Truncate(value, maxShown), detail))
}

// Positive requires a duration above 0.
func (c *Checks) Positive(p *field.Path, d metav1.Duration) {
	if d.Duration <= 0 {
		c.Invalid(p, d.Duration.String(), "must be greater than 0")
	}
}

// DurationBetween requires a duration from least to most.
func (c *Checks) DurationBetween(p *field.Path, d metav1.Duration, least, most time.Duration) {
	if d.Duration < least || d.Duration > most {
		c.Invalid(p, d.Duration.String(), "must be from "+least.String()+" to "+most.String())
	}
}

// Rate requires a number per second above 0.
func (c *Checks) Rate(p *field.Path, perSecond float64) {
	if perSecond <= 0 {
		c.Add(field.Invalid(p, perSecond, "must be greater than 0"))
	}
}

// Between requires a count from least to most.
func (c *Checks) Between(p *field.Path, n, least, most int) {
	if n < least || n > most {
		c.Add(field.Invalid(p, n, fmt.Sprintf("must be from %d to %d", least, most)))
	}
}

// CountOrUnlimited requires a count, or -1.
func (c *Checks) CountOrUnlimited(p *field.Path, n int) {
	if n < -1 || n == 0 || n > MaxCount {
		c.Add(field.Invalid(p, n, "must be from 1 to "+strconv.Itoa(MaxCount)+", or -1 for no limit"))
	}
}

// Size requires a size above 0.
func (c *Checks) Size(p *field.Path, s Size) {
	if s <= 0 || s > maxSize {
		c.Invalid(p, s.String(), "must be from 1 to "+maxSize.String()+" bytes")
	}
}

// SizeFrom requires a size from least.
func (c *Checks) SizeFrom(p *field.Path, s, least Size) {
	if s < least || s > maxSize {
		c.Invalid(p, s.String(), "must be from "+least.String()+" to "+maxSize.String()+" bytes")
	}
}

// OneOf requires one of the known values.
func OneOf[T ~string](c *Checks, p *field.Path, value T, known ...T) {
	if !slices.Contains(known, value) {
		c.Add(field.NotSupported(p, T(foreigntext.Truncate(string(value), maxShown)), known))
	}
}

// Duration returns d as the value of a setting.
func Duration(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

// ParseBlock reads an address or a CIDR block. IPv4 has to be written as such: its form inside IPv6
// would match nothing.
func ParseBlock(s string) (netip.Prefix, error) {
	address, err := netip.ParseAddr(s)
	bits := address.BitLen()
	if err != nil {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a CIDR block", foreigntext.Truncate(s, maxShown))
		}
		address, bits = prefix.Addr(), prefix.Bits()
	}
	if address.Zone() != "" || address.Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q has a zone or is IPv4 inside IPv6", foreigntext.Truncate(s, maxShown))
	}
	return address.Prefix(bits)
}

// Blocks requires addresses and CIDR blocks, and returns them. The text has an example.
func (c *Checks) Blocks(p *field.Path, texts []string, example string) []netip.Prefix {
	var blocks []netip.Prefix
	for i, text := range texts {
		block, err := ParseBlock(text)
		if err != nil {
			c.Invalid(p.Index(i), text, "must be an IP address or a CIDR block such as "+example)
			continue
		}
		blocks = append(blocks, block)
	}
	return blocks
}
