using System.Text.RegularExpressions;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>The hand-written splitters against the regular expressions they stand for.</summary>
public class GptSplitTests
{
    // Characters on which the patterns' branches meet; all in the basic plane, where .NET's \p{L} is right.
    private const string Alphabet = " \n\r\t'sStTrReElLvVmMdDaéß你한0٣½²-_.,!\u00a0\u3000ـ\u0301";

    [Theory]
    [InlineData(GptSplit.Gpt2Pattern)]
    [InlineData(GptSplit.Qwen2Pattern)]
    [InlineData(GptSplit.Llama3Pattern)]
    public void Equals_the_regular_expression(string pattern)
    {
        var split = GptSplit.For(pattern)!;
        var regex = new Regex(pattern, RegexOptions.CultureInvariant);
        var random = new Random(7);
        for (int trial = 0; trial < 20_000; trial++)
        {
            string text = new(random.GetItems<char>(Alphabet, random.Next(1, 14)));
            var pieces = new List<string>();
            for (int at = 0; at < text.Length;)
            {
                int end = split.Next(text, at);
                pieces.Add(text[at..end]);
                at = end;
            }
            Assert.Equal(regex.Matches(text).Select(match => match.Value), pieces);
        }
    }

    [Fact]
    public void Letters_outside_the_basic_plane_are_letters()
    {
        const string Text = "\U0001D400\U00020000a 1"; // mathematical A, a rare ideograph
        Assert.Equal(5, GptSplit.Gpt2.Next(Text, 0));
        Assert.Equal(5, GptSplit.Qwen2.Next(Text, 0));
    }

    [Theory]
    [InlineData("e\u0301", "\u00e9")]
    [InlineData("\u0065\u0323\u0302", "\u1ec7")] // marks by class: dot below, then circumflex
    [InlineData("\u0065\u0302\u0323", "\u1ec7")]
    [InlineData("\u1100\u1161\u11a8", "\uac01")] // Hangul
    [InlineData("\uac00\u11a8", "\uac01")]
    [InlineData("\u0958", "\u0915\u093c")] // excluded from composition
    [InlineData("\u212b", "\u00c5")] // Angstrom sign
    [InlineData("\u0061\u0315\u0300\u05ae\u0062", "\u00e0\u05ae\u0315\u0062")] // UAX 15, NormalizationTest.txt
    [InlineData("plain \U0001F680", "plain \U0001F680")]
    public void Form_C_follows_the_standard(string text, string composed) => Assert.Equal(composed, Nfc.Compose(text));
}
