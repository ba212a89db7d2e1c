using System.Text.Json;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>A byte-level tokenizer without merges: one id per ASCII byte, then markers. Lengths are easy to count with
/// it.</summary>
internal static class TinyTokenizer
{
    public static Tokenizer Make(string? chatTemplate = null, string bos = "", string eos = "<eos>",
        params string[] markers)
    {
        using var folder = new TemporaryFolder();
        var vocab = Enumerable.Range(0, 256).ToDictionary(b => ByteAlphabet.CharOf((byte)b).ToString(), b => b);
        var added = markers.Append(bos).Append(eos).Where(text => text.Length > 0).Distinct()
            .Select((text, i) => new { id = 256 + i, content = text, special = true, normalized = false });
        folder.Write("tokenizer.json", JsonSerializer.Serialize(new
        {
            added_tokens = added,
            pre_tokenizer = new { type = "ByteLevel", add_prefix_space = false, use_regex = true },
            decoder = new { type = "ByteLevel" },
            model = new { type = "BPE", vocab, merges = Array.Empty<string>() },
        }));
        folder.Write("tokenizer_config.json", JsonSerializer.Serialize(new
        {
            bos_token = bos.Length > 0 ? bos : null,
            eos_token = eos.Length > 0 ? eos : null,
            add_bos_token = bos.Length > 0,
            chat_template = chatTemplate,
        }));
        return Tokenizer.Load(folder.Path);
    }
}
