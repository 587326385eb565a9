package graph

import (
	"context"

	"roster/internal/stats"
)

// Stats implements generated.QueryResolver. The fields resolve themselves, each in a statement of the operation's session.
func (r queryResolver) Stats(ctx context.Context) (*stats.Stats, error) {
	return stats.New(ctx, attemptFrom(ctx).session)
}
