using CudaLora.Lora;
using TorchSharp;

namespace CudaLora.Peers;

/// <summary>Greedy generation by small Llamas with LoRA on all linears; the same tokens on both sides.</summary>
internal static class GeneratePeer
{
    private const int Prompt = 32;
    private const int Fresh = 64;
    private const int Rank = 8;

    public static void Run(Contest contest)
    {
        var small = new LlamaSize(
            Vocabulary: 2048, Hidden: 256, Inner: 768, Layers: 4, Heads: 8, Batch: 1, Tokens: Prompt + Fresh);
        Case(contest, small);
        Case(contest, small with { Batch = 8 });
        // Weights of 134 MB: more than caches hold.
        Case(contest, small with { Vocabulary = 8192, Hidden = 512, Inner = 1408, Layers = 8 });
    }

    private static void Case(Contest contest, LlamaSize size)
    {
        using var ours = new EngineLlama(size, Rank, scale: 2);
        using var peer = TorchLlama.Of(ours, size, scale: 2);
        var random = new Random(4);
        var prompts = Enumerable.Range(0, size.Batch)
            .Select(_ => Enumerable.Range(0, Prompt).Select(_ => random.Next(size.Vocabulary)).ToArray()).ToArray();
        using var peerPrompts = torch.tensor(
            prompts.SelectMany(p => p).Select(id => (long)id).ToArray(), [size.Batch, Prompt]);
        var options = new SamplingOptions { MaxNewTokens = Fresh, Temperature = 0, StopIds = [] };

        IEnumerable<int> Ours() => ours.Model.Generate(prompts, options).SelectMany(row => row.Tokens);

        long[] Peer() => peer.Generate(peerPrompts, Fresh);

        // The share of tokens that are not the same.
        double Difference()
        {
            var (mine, theirs) = (Ours().ToArray(), Peer());
            return mine.Length == theirs.Length && mine.Distinct().Count() > 1
                ? mine.Zip(theirs).Count(pair => pair.First != pair.Second) / (double)mine.Length
                : double.NaN;
        }

        contest.Run(
            "generate", $"{size.Layers} layers, {size.Hidden} wide, r {Rank}, {size.Batch} x {Prompt} + {Fresh} tokens",
            () => Ours(), () => Peer(), Difference, 0, Work.Tokens(size.Batch * Fresh));
    }
}
