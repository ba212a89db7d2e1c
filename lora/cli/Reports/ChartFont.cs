using ScottPlot;
using SkiaSharp;

namespace CudaLora.Cli;

/// <summary>
/// The font of charts, embedded: the same labels everywhere, also on machines that have no font at all.
/// </summary>
internal sealed class ChartFont : IFontResolver
{
    public const string Name = "CudaLora Chart";

    private static readonly Lazy<SKTypeface> Face = new(Load);
    private static readonly Lazy<bool> Registered = new(() =>
    {
        Fonts.FontResolvers.Insert(0, new ChartFont());
        return true;
    });

    /// <summary>Makes the font known to ScottPlot under <see cref="Name"/>.</summary>
    public static bool Register() => Registered.Value;

    public SKTypeface? CreateTypeface(string fontName, bool bold, bool italic) => fontName == Name ? Face.Value : null;

    public SKTypeface? CreateTypeface(string fontName, FontWeight weight, FontSlant slant, FontSpacing spacing) =>
        CreateTypeface(fontName, bold: false, italic: false);

    private static SKTypeface Load()
    {
        using var stream = typeof(ChartFont).Assembly.GetManifestResourceStream("ChartFont.ttf")
            ?? throw new InvalidOperationException("the chart font is not embedded");
        using var data = SKData.Create(stream);
        return SKTypeface.FromData(data);
    }
}
