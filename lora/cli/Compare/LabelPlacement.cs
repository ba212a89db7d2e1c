namespace CudaLora.Cli;

/// <summary>
/// Finds a place for the name of each point of a chart: the nearest around the point that lies inside the chart and
/// covers neither a point nor a name placed before. In the coordinates of the chart.
/// </summary>
/// <param name="x">The ends of the x axis and its pixels per unit.</param>
/// <param name="y">The same of the y axis, upwards.</param>
internal sealed class LabelPlacement(
    (double From, double To, double Scale) x, (double From, double To, double Scale) y)
{
    public const int FontSize = 13;

    // Pixels.
    private const double LetterWidth = 7.5;
    private const double LineHeight = 15;
    private const double PointRadius = 6;
    private const double Gap = PointRadius + 2;
    private const int Rings = 8;

    private readonly List<Box> taken = [];

    /// <summary>A point is here: no name may cover it.</summary>
    public void Mark(double atX, double atY)
    {
        var (px, py) = (atX * x.Scale, atY * y.Scale);
        taken.Add(new(px - PointRadius, py - PointRadius, px + PointRadius, py + PointRadius));
    }

    /// <summary>The middle of the name's left edge, and where a line from the point to a far name ends.</summary>
    public LabelPlace Place(double atX, double atY, string name)
    {
        var (px, py) = (atX * x.Scale, atY * y.Scale);
        var width = name.Length * LetterWidth;
        var boxes = Around(px, py, width).ToArray();
        var at = Array.FindIndex(boxes, IsFree);
        var box = boxes[Math.Max(at, 0)];
        taken.Add(box);
        var line = Math.Clamp(px, box.Left, box.Right);
        return new(
            box.Left / x.Scale, (box.Bottom + box.Top) / 2 / y.Scale,
            line / x.Scale, (box.Bottom > py ? box.Bottom : box.Top) / y.Scale,
            Far: box.Bottom - py > LineHeight || py - box.Top > LineHeight);
    }

    private static IEnumerable<Box> Around(double px, double py, double width)
    {
        double[] across = [Gap, -Gap - width];
        foreach (var dx in across) yield return At(dx, 0);
        for (var ring = 0; ring < Rings; ring++)
        {
            var away = (0.95 + ring) * LineHeight;
            foreach (var dx in across.Append(-width / 2))
            {
                yield return At(dx, away);
                yield return At(dx, -away);
            }
        }

        Box At(double dx, double dy) =>
            new(px + dx, py + dy - LineHeight / 2, px + dx + width, py + dy + LineHeight / 2);
    }

    private bool IsFree(Box box) =>
        box.Left > x.From * x.Scale && box.Right < x.To * x.Scale
        && box.Bottom > y.From * y.Scale && box.Top < y.To * y.Scale
        && !taken.Exists(box.Overlaps);

    private readonly record struct Box(double Left, double Bottom, double Right, double Top)
    {
        public bool Overlaps(Box other) =>
            Left < other.Right && other.Left < Right && Bottom < other.Top && other.Bottom < Top;
    }
}

/// <summary>Where a name is placed, in coordinates of the chart.</summary>
internal readonly record struct LabelPlace(double X, double Y, double LineX, double LineY, bool Far);
