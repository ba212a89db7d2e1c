namespace CudaLora.Engine;

/// <summary>
/// The tensors of a folder, whether they lie in one <c>stem.safetensors</c> or in shards with an index. Opening maps
/// every file and checks every header.
/// </summary>
public sealed class SafetensorsSet : IDisposable
{
    private readonly List<SafetensorsFile> files = [];
    private readonly Dictionary<string, (SafetensorsFile File, SafetensorsEntry Entry)> tensors =
        new(StringComparer.Ordinal);

    private SafetensorsSet(string folder) => Folder = folder;

    /// <summary>The folder it was opened from.</summary>
    public string Folder { get; }

    /// <summary>The files, one or the shards.</summary>
    public IReadOnlyList<SafetensorsFile> Files => files;

    /// <summary>All tensors by name, with the file that holds each.</summary>
    public IReadOnlyDictionary<string, (SafetensorsFile File, SafetensorsEntry Entry)> Tensors => tensors;

    /// <summary>Opens <c>stem.safetensors</c> or, if it is not there, the shards of the index.</summary>
    /// <exception cref="UserErrorException">Folder or files are missing or damaged, or index and shards
    /// disagree.</exception>
    public static SafetensorsSet Open(string folder, string stem = "model")
    {
        if (!Directory.Exists(folder)) throw new UserErrorException($"{folder}: the folder does not exist");
        string single = Path.Combine(folder, $"{stem}.safetensors");
        string index = SafetensorsIndex.PathIn(folder, stem);
        if (!File.Exists(single) && !File.Exists(index))
        {
            string[] pickles = Directory.GetFiles(folder, "*.bin");
            string found = pickles.Length == 0 ? "it has neither" : $"it has {Path.GetFileName(pickles[0])} only";
            throw new UserErrorException(
                $"{folder}: must hold {stem}.safetensors or {Path.GetFileName(index)}, but {found}");
        }
        var set = new SafetensorsSet(folder);
        try
        {
            if (File.Exists(single)) set.AddAll(SafetensorsFile.Open(single));
            else set.AddShards(index, SafetensorsIndex.Read(index));
            return set;
        }
        catch
        {
            set.Dispose();
            throw;
        }
    }

    /// <summary>Unmaps all files.</summary>
    public void Dispose()
    {
        foreach (SafetensorsFile file in files) file.Dispose();
    }

    private void AddAll(SafetensorsFile file)
    {
        files.Add(file);
        foreach ((string name, SafetensorsEntry entry) in file.Entries) tensors.Add(name, (file, entry));
    }

    private void AddShards(string indexPath, SafetensorsIndex index)
    {
        foreach (var shard in index.WeightMap.GroupBy(p => p.Value).OrderBy(g => g.Key, StringComparer.Ordinal))
        {
            SafetensorsFile file = SafetensorsFile.Open(Path.Combine(Folder, shard.Key));
            files.Add(file);
            foreach ((string name, _) in shard)
            {
                if (!file.Entries.TryGetValue(name, out SafetensorsEntry? entry))
                    throw new UserErrorException(
                        $"{indexPath}: tensor {FileErrors.Quote(name)} must be in {shard.Key}, but is not");
                tensors.Add(name, (file, entry));
            }
        }
    }
}
