package main

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The sizes of the drawing. A chart with more than manyLines requests that claim an index draws one band for them: from the least
// to the greatest latency.
const (
	chartColumns = 2
	chartWidth   = 14 * vg.Centimeter
	chartHeight  = 10.5 * vg.Centimeter
	manyLines    = 6
)

// drawGrowth draws a chart for each part of the series, both axes in powers of ten.
func drawGrowth(path string, all []*series) (err error) {
	var names []string
	least, greatest := math.Inf(1), 0.0
	for _, s := range all {
		if !slices.Contains(names, s.chart) {
			names = append(names, s.chart)
		}
		for _, p := range s.points {
			least, greatest = min(least, inMilliseconds(p.p50)), max(greatest, inMilliseconds(p.p50))
		}
	}
	rows := (len(names) + chartColumns - 1) / chartColumns
	charts := make([][]*plot.Plot, rows)
	for i := range charts {
		charts[i] = make([]*plot.Plot, chartColumns)
	}
	for i, name := range names {
		var some []*series
		for _, s := range all {
			if s.chart == name {
				some = append(some, s)
			}
		}
		c, err := chart(name, some)
		if err != nil {
			return err
		}
		// All charts have the same axis, so that they can be compared. The lines of the legend are above the lines of the figures.
		c.Y.Min, c.Y.Max = powerOfTen(math.Floor, least), 10*powerOfTen(math.Ceil, greatest)
		charts[i/chartColumns][i%chartColumns] = c
	}
	canvas := vgsvg.New(chartColumns*chartWidth, vg.Length(rows)*chartHeight)
	dc := draw.New(canvas)
	dc.SetColor(color.White)
	dc.Fill(dc.Path())
	tiles := draw.Tiles{Rows: rows, Cols: chartColumns, PadX: vg.Centimeter, PadY: vg.Centimeter, PadTop: vg.Millimeter, PadRight: vg.Centimeter, PadLeft: vg.Millimeter}
	for y, row := range plot.Align(charts, tiles, dc) {
		for x, area := range row {
			if charts[y][x] != nil {
				charts[y][x].Draw(area)
			}
		}
	}
	file, err := os.Create(path) //nolint:gosec // where the user says
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(file)
	return errors.Join(err, file.Close())
}

// inMilliseconds returns a latency of at least a microsecond, because a logarithm needs more than zero.
func inMilliseconds(d time.Duration) float64 { return milliseconds(max(d, time.Microsecond)) }

func powerOfTen(round func(float64) float64, f float64) float64 {
	return math.Pow(10, round(math.Log10(f)))
}

// chart draws some series.
func chart(name string, all []*series) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = name
	p.X.Label.Text, p.Y.Label.Text = "users", "p50 in ms"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(powers), plot.TickerFunc(powers)
	p.Legend.Top, p.Legend.Left, p.Legend.Padding = true, true, vg.Millimeter
	p.Legend.TextStyle.Font.Size = 10
	grid := plotter.NewGrid()
	p.Add(grid)
	indexed := slices.DeleteFunc(slices.Clone(all), func(s *series) bool { return s.without != "" })
	if len(indexed) > manyLines {
		band, err := band(indexed)
		if err != nil {
			return nil, err
		}
		p.Add(band)
		p.Legend.Add(fmt.Sprintf("%d by an index: least to greatest", len(indexed)), band)
		all = slices.DeleteFunc(slices.Clone(all), func(s *series) bool { return s.without == "" })
	}
	for i, s := range all {
		points := make(plotter.XYs, len(s.points))
		for j, point := range s.points {
			points[j] = plotter.XY{X: float64(point.users), Y: inMilliseconds(point.p50)}
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, dots.Color, dots.Shape = plotutil.Color(i), plotutil.Color(i), plotutil.Shape(i)
		label := s.name
		if s.without != "" {
			line.Dashes = plotutil.Dashes(1)
			label += " (" + s.without + ")"
		}
		p.Add(line, dots)
		p.Legend.Add(label, line, dots)
	}
	return p, nil
}

// band draws the area from the least to the greatest latency of some series at each size.
func band(all []*series) (*plotter.Polygon, error) {
	var low, high plotter.XYs
	for i, p := range all[0].points {
		least, greatest := math.Inf(1), 0.0
		for _, s := range all {
			least, greatest = min(least, inMilliseconds(s.points[i].p50)), max(greatest, inMilliseconds(s.points[i].p50))
		}
		low, high = append(low, plotter.XY{X: float64(p.users), Y: least}), append(high, plotter.XY{X: float64(p.users), Y: greatest})
	}
	slices.Reverse(high)
	area, err := plotter.NewPolygon(slices.Concat(low, high))
	if err != nil {
		return nil, err
	}
	area.Color, area.LineStyle.Color = color.RGBA{R: 0x9e, G: 0xc5, B: 0xe8, A: 0xff}, color.RGBA{R: 0x2b, G: 0x6c, B: 0xb0, A: 0xff}
	return area, nil
}

// powers marks the powers of ten.
func powers(low, high float64) (ticks []plot.Tick) {
	for value := powerOfTen(math.Ceil, low); value <= high*1.001; value *= 10 {
		label := strconv.FormatFloat(value, 'f', -1, 64)
		for i := len(label) - 3; i > 0 && value >= 1000; i -= 3 {
			label = label[:i] + "," + label[i:]
		}
		ticks = append(ticks, plot.Tick{Value: value, Label: label})
	}
	return ticks
}
