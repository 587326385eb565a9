package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// archive writes the archive of a platform: a zip for Windows, else a tar.gz. All files are in one folder.
func (r *release) archive(p platform, files []entry) error {
	slices.SortFunc(files, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	write, extension := r.tarball, ".tar.gz"
	if p.system == "windows" {
		write, extension = r.zip, ".zip"
	}
	var archive bytes.Buffer
	if err := write(&archive, r.name(p)+"/", files); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, r.name(p)+extension), archive.Bytes(), 0o644) //nolint:gosec // G306: a public file
}

// tarball writes a tar.gz. Its owners are root, by number alone.
func (r *release) tarball(w io.Writer, folder string, files []entry) error {
	zipped, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zipped)
	for _, f := range files {
		header := tar.Header{Typeflag: tar.TypeReg, Name: folder + f.name, Mode: int64(f.mode), Size: int64(len(f.content)), ModTime: r.time, Format: tar.FormatPAX}
		if err := archive.WriteHeader(&header); err != nil {
			return err
		}
		if _, err := archive.Write(f.content); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

func (r *release) zip(w io.Writer, folder string, files []entry) error {
	archive := zip.NewWriter(w)
	for _, f := range files {
		header := zip.FileHeader{Name: folder + f.name, Method: zip.Deflate, Modified: r.time}
		header.SetMode(f.mode)
		part, err := archive.CreateHeader(&header)
		if err != nil {
			return err
		}
		if _, err := part.Write(f.content); err != nil {
			return err
		}
	}
	return archive.Close()
}

// zipped returns the bytes of a gzip file, without a name and a time.
func zipped(content []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
