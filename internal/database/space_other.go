//go:build !linux && !darwin

package database

import "errors"

// Space returns errors.ErrUnsupported: there is no way to ask for the free bytes here.
func Space(string) (int64, error) { return 0, errors.ErrUnsupported }
