package caches

// joinGroup and leaveGroup are called under the lock.
func (c *Cache[K, V]) joinGroup(key K) {
	if c.groups == nil {
		return
	}
	name := c.o.Group(key)
	if c.groups[name] == nil {
		c.groups[name] = map[K]struct{}{}
	}
	c.groups[name][key] = struct{}{}
}

func (c *Cache[K, V]) leaveGroup(key K) {
	if c.groups == nil {
		return
	}
	name := c.o.Group(key)
	if delete(c.groups[name], key); len(c.groups[name]) == 0 {
		delete(c.groups, name)
	}
}

// GroupLen is the number of entries of a group that count. Its cost is that of the group.
func (c *Cache[K, V]) GroupLen(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.at()
	for key := range c.groups[name] {
		s := c.shelf(key)
		if e, found := s.entries.Peek(key); found && c.over(e, now) {
			s.entries.Remove(key)
		}
	}
	return len(c.groups[name])
}

// RemoveGroup drops those entries of a group that are of a kind. Its cost is that of the group.
func (c *Cache[K, V]) RemoveGroup(name string, is func(K) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.groups[name] {
		if is(key) {
			c.remove(key)
		}
	}
}
