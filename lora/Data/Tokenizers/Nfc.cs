using System.IO.Compression;
using System.Text;

namespace CudaLora.Lora;

/// <summary>
/// Unicode normalisation form C (UAX 15), which Qwen's tokenizers ask for. .NET's own does nothing in invariant
/// globalisation mode, so the tables travel along: Nfc.bin holds, deflated, the canonical decompositions and combining
/// classes of UnicodeData.txt 14.0 as little-endian int32: both counts; then (code, first, second, with bit 24 set
/// where the pair composes again) each; then code with its class in the top byte, each.
/// </summary>
internal static class Nfc
{
    private const int HangulBase = 0xAC00, LeadBase = 0x1100, VowelBase = 0x1161, TailBase = 0x11A7;
    private const int Leads = 19, Vowels = 21, Tails = 28;

    private static readonly Dictionary<int, (int First, int Second)> Decompositions = [];
    private static readonly Dictionary<(int, int), int> Compositions = [];
    private static readonly Dictionary<int, int> Classes = [];

    static Nfc()
    {
        using var stream = typeof(Nfc).Assembly.GetManifestResourceStream("Nfc.bin")!;
        using var reader = new BinaryReader(new DeflateStream(stream, CompressionMode.Decompress));
        int decompositions = reader.ReadInt32(), classes = reader.ReadInt32();
        for (int i = 0; i < decompositions; i++)
        {
            int code = reader.ReadInt32(), first = reader.ReadInt32(), second = reader.ReadInt32();
            bool composes = second >> 24 != 0;
            second &= 0xFFFFFF;
            Decompositions[code] = (first, second);
            if (composes) Compositions[(first, second)] = code;
        }
        for (int i = 0; i < classes; i++)
        {
            uint entry = reader.ReadUInt32();
            Classes[(int)(entry & 0xFFFFFF)] = (int)(entry >> 24);
        }
    }

    /// <summary>The text in form C; the same object where it is Latin-1 and so cannot change.</summary>
    public static string Compose(string text)
    {
        // Below U+0300 nothing combines and nothing decomposes for good.
        if (!text.AsSpan().ContainsAnyInRange('\u0300', '\uffff')) return text;
        var codes = new List<int>(text.Length);
        foreach (var rune in text.EnumerateRunes()) Decompose(rune.Value, codes);
        Reorder(codes);
        Recompose(codes);
        var result = new StringBuilder(codes.Count);
        foreach (int code in codes) result.Append(new Rune(code).ToString());
        return result.ToString();
    }

    private static int ClassOf(int code) => Classes.GetValueOrDefault(code);

    private static void Decompose(int code, List<int> output)
    {
        int hangul = code - HangulBase;
        if (hangul is >= 0 and < Leads * Vowels * Tails)
        {
            output.Add(LeadBase + hangul / (Vowels * Tails));
            output.Add(VowelBase + hangul % (Vowels * Tails) / Tails);
            if (hangul % Tails != 0) output.Add(TailBase + hangul % Tails);
        }
        else if (Decompositions.TryGetValue(code, out var parts))
        {
            Decompose(parts.First, output);
            if (parts.Second != 0) Decompose(parts.Second, output);
        }
        else output.Add(code);
    }

    // Marks of one base go by combining class; equal classes keep their order.
    private static void Reorder(List<int> codes)
    {
        for (int i = 1; i < codes.Count; i++)
        {
            int own = ClassOf(codes[i]);
            if (own == 0) continue;
            for (int j = i; j > 0 && ClassOf(codes[j - 1]) > own; j--)
                (codes[j], codes[j - 1]) = (codes[j - 1], codes[j]);
        }
    }

    private static void Recompose(List<int> codes)
    {
        int written = 0, starter = -1, lastClass = -1;
        foreach (int code in codes.ToArray())
        {
            int own = ClassOf(code);
            // A mark is blocked from its starter by one of the same or a higher class in between.
            bool free = starter >= 0 && (lastClass < own || starter == written - 1);
            if (free && Pair(codes[starter], code) is { } composed)
            {
                codes[starter] = composed;
                continue;
            }
            if (own == 0) (starter, lastClass) = (written, -1);
            else lastClass = own;
            codes[written++] = code;
        }
        codes.RemoveRange(written, codes.Count - written);
    }

    private static int? Pair(int first, int second)
    {
        int lead = first - LeadBase, vowel = second - VowelBase;
        if (lead is >= 0 and < Leads && vowel is >= 0 and < Vowels) return HangulBase + (lead * Vowels + vowel) * Tails;
        int syllable = first - HangulBase, tail = second - TailBase;
        if (syllable is >= 0 and < Leads * Vowels * Tails && syllable % Tails == 0 && tail is > 0 and < Tails)
            return first + tail;
        return Compositions.TryGetValue((first, second), out int code) ? code : null;
    }
}
